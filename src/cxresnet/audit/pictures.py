"""The evidence as pictures: images side by side, with a line of text below each."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet import DISCLAIMER
from cxresnet.explain.overlay import load_font

_TILE_PX = 224
_GAP_PX = 10
_LINE_PX = 20
_TEXT_PX = 15
_LETTERS_A_TILE = 26
_PAPER = (14, 17, 22)
_INK = (240, 243, 247)
_FAINT = (165, 175, 188)


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a picture.

    Attributes:
        image: (row, column) grey or (row, column, 3) RGB, uint8.
        text: What stands below it, a few words; broken into lines.
    """

    image: NDArray[np.uint8]
    text: str


def draw_tiles(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Draw rows of images with their texts, and the disclaimer below.

    Args:
        rows: At least one row with one tile.
    """
    lines = [[textwrap.wrap(tile.text, _LETTERS_A_TILE) for tile in row] for row in rows]
    heights = [_TILE_PX + _LINE_PX * max(len(one) for one in row) + 2 * _GAP_PX for row in lines]
    width = max(len(row) for row in rows) * (_TILE_PX + _GAP_PX) + _GAP_PX
    foot = textwrap.wrap(DISCLAIMER, max(20, width // 9))
    height = sum(heights) + _GAP_PX + _LINE_PX * len(foot) + _GAP_PX
    picture = Image.new("RGB", (width, height), _PAPER)
    pen, top = ImageDraw.Draw(picture), _GAP_PX
    font = load_font(_TEXT_PX)
    for row, texts, below in zip(rows, lines, heights, strict=True):
        for number, (tile, text) in enumerate(zip(row, texts, strict=True)):
            left = _GAP_PX + number * (_TILE_PX + _GAP_PX)
            picture.paste(_enlarge(tile.image), (left, top))
            for line, words in enumerate(text):
                place = (left, top + _TILE_PX + 4 + line * _LINE_PX)
                pen.text(place, words, fill=_INK, font=font)
        top += below
    for line, words in enumerate(foot):
        pen.text((_GAP_PX, top + line * _LINE_PX), words, fill=_FAINT, font=font)
    return picture


def encode_picture(picture: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def _enlarge(image: NDArray[np.uint8]) -> Image.Image:
    return (
        Image.fromarray(np.ascontiguousarray(image))
        .convert("RGB")
        .resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC)
    )
