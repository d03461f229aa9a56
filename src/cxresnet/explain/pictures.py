"""One PNG a film, for people: film, maps, colour bar, words, disclaimer."""

from __future__ import annotations

import io
import re
import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_bytes
from cxresnet.explain.overlay import draw_colour_bar, draw_overlay, find_outline
from cxresnet.explain.record import Attributions

__all__ = ["draw_film_picture", "write_pictures"]

_PANEL_PX = 384
_MARGIN_PX = 24
_HEAD_PX = 84
_FOOT_PX = 120
_PAPER = (14, 17, 22)
_INK = (232, 236, 241)
_FAINT = (158, 168, 181)
_OUTLINE_RGB = (255, 255, 255)


def write_pictures(folder: Path, attributions: Attributions) -> tuple[Path, ...]:
    """Write one PNG a film; those of an earlier run are taken away first.

    Raises:
        StorageError: The folder cannot be written.
    """
    for old in folder.glob("film-*.png"):
        old.unlink()
    return tuple(
        write_bytes(
            folder / _build_name(attributions, row), _encode(draw_film_picture(attributions, row))
        )
        for row in range(len(attributions.films))
    )


def draw_film_picture(attributions: Attributions, row: int) -> Image.Image:
    """Draw one film beside its maps, with the colour bar that all films share.

    Args:
        attributions: The maps.
        row: Which film.
    """
    index = attributions.index
    titles = ["Film", *(method.title for method in index.methods)]
    width = len(titles) * (_PANEL_PX + _MARGIN_PX) + _MARGIN_PX
    picture = Image.new("RGB", (width, _HEAD_PX + _PANEL_PX + _FOOT_PX), _PAPER)
    pen = ImageDraw.Draw(picture)
    _write_head(pen, attributions, row)
    for number, (title, panel) in enumerate(
        zip(titles, _draw_panels(attributions, row), strict=True)
    ):
        left = _MARGIN_PX + number * (_PANEL_PX + _MARGIN_PX)
        picture.paste(panel, (left, _HEAD_PX))
        pen.text((left, _HEAD_PX - 22), title, fill=_INK, font=_font(15))
    _draw_foot(picture, pen, scale_limit=index.scale_limit, data_verdict=index.data_verdict)
    return picture


def _draw_panels(attributions: Attributions, row: int) -> list[Image.Image]:
    film, mask = attributions.films[row], attributions.lung_masks[row]
    panels = [np.repeat(film[..., None], 3, axis=2)]
    for method in attributions.index.methods:
        values = attributions.compute_drawn(method, row)
        panels.append(draw_overlay(film, values, scale_limit=attributions.get_scale_limit(method)))
    outline = find_outline(_enlarge_mask(mask))
    return [_enlarge(panel, outline) for panel in panels]


def _enlarge_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_PANEL_PX, _PANEL_PX)
    return (np.asarray(Image.fromarray(mask).resize(size)) > 127).astype(np.uint8)


def _enlarge(panel: NDArray[np.uint8], outline: NDArray[np.bool_]) -> Image.Image:
    size = (_PANEL_PX, _PANEL_PX)
    enlarged = np.array(Image.fromarray(panel).resize(size, Image.Resampling.BICUBIC))
    enlarged[outline] = _OUTLINE_RGB
    return Image.fromarray(enlarged)


def _write_head(pen: ImageDraw.ImageDraw, attributions: Attributions, row: int) -> None:
    film = attributions.index.films[row]
    head = (
        f"The network says {film.predicted_class} (probability {film.probability:.3f}); "
        f"the label says {film.true_class}"
    )
    pen.text((_MARGIN_PX, 14), head, fill=_INK, font=_font(19))
    words = f"{film.why} of {film.true_class}  ·  {film.image_id}  ·  {film.source}"
    pen.text((_MARGIN_PX, 40), words, fill=_FAINT, font=_font(13))


def _draw_foot(
    picture: Image.Image, pen: ImageDraw.ImageDraw, *, scale_limit: float, data_verdict: str
) -> None:
    top = _HEAD_PX + _PANEL_PX + 16
    bar = Image.fromarray(draw_colour_bar(width_px=_PANEL_PX, height_px=14))
    picture.paste(bar, (_MARGIN_PX, top))
    marks = ((0, f"-{scale_limit:g}", "la"), (1, "0", "ma"), (2, f"+{scale_limit:g}", "ra"))
    for place, text, anchor in marks:
        left = _MARGIN_PX + place * _PANEL_PX // 2
        pen.text((left, top + 20), text, fill=_INK, font=_font(13), anchor=anchor)
    words = "Change of probability of the class that the network says.\n"
    words += "Blue argues against it, orange for it; white line: lungs, where known."
    left = 2 * _MARGIN_PX + _PANEL_PX
    pen.text((left, top - 4), words, fill=_FAINT, font=_font(13), spacing=4)
    pen.text((left, top + 38), DISCLAIMER, fill=_INK, font=_font(13))
    pen.text((_MARGIN_PX, top + 58), textwrap.fill(data_verdict, 150), fill=_INK, font=_font(12))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _build_name(attributions: Attributions, row: int) -> str:
    film = attributions.index.films[row]
    words = f"{film.true_class} {film.why.rsplit(' ', 1)[-1]}"
    slug = re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")
    return f"film-{row + 1:02d}-{slug}.png"


def _encode(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
