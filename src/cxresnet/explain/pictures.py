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
from cxresnet.explain.overlay import (
    draw_colour_bar,
    draw_overlay,
    draw_spread,
    find_outline,
)
from cxresnet.explain.record import Attributions, MethodRecord
from cxresnet.explain.watermark import draw_watermark

__all__ = ["draw_film_picture", "write_pictures"]

_PANEL_PX = 384
_MARGIN_PX = 24
_HEAD_PX = 64
_TITLE_PX = 28
_MOST_COLUMNS = 4
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
    panels = _draw_panels(attributions, row)
    columns = min(len(panels), _MOST_COLUMNS)
    lines = -(-len(panels) // columns)
    line_px = _PANEL_PX + _TITLE_PX
    width = max(columns, 2) * (_PANEL_PX + _MARGIN_PX) + _MARGIN_PX
    top = _HEAD_PX + lines * line_px
    picture = Image.new("RGB", (width, top + _FOOT_PX), _PAPER)
    pen = ImageDraw.Draw(picture)
    _write_head(pen, attributions, row)
    for number, (title, panel) in enumerate(panels):
        left = _MARGIN_PX + number % columns * (_PANEL_PX + _MARGIN_PX)
        down = _HEAD_PX + number // columns * line_px
        pen.text((left, down), title, fill=_INK, font=_font(13))
        picture.paste(panel, (left, down + _TITLE_PX - 6))
    _draw_foot(
        picture, pen, top=top, scale_limit=index.scale_limit, data_verdict=index.data_verdict
    )
    return picture


def _draw_panels(attributions: Attributions, row: int) -> list[tuple[str, Image.Image]]:
    """Draw the film, each map, then how far the ways of a method come apart; each with a title."""
    film, mask = attributions.films[row], attributions.lung_masks[row]
    panels = [("Film", np.repeat(film[..., None], 3, axis=2))]
    for method in attributions.index.methods:
        values = attributions.compute_drawn(method, row)
        limit = attributions.get_scale_limit(method)
        panels.append((_describe_scale(method), draw_overlay(film, values, scale_limit=limit)))
    for method in attributions.index.methods:
        if method.name in attributions.spreads:
            spread = attributions.spreads[method.name][row]
            limit = attributions.get_scale_limit(method)
            title = f"{method.title}: how far the covers come apart"
            panels.append((title, draw_spread(film, spread, scale_limit=limit)))
    outline = find_outline(_enlarge_mask(mask))
    enlarged = [(title, _enlarge(panel, outline)) for title, panel in panels]
    for place, method in enumerate(attributions.index.methods, start=1):
        if method.distrusted:
            title, panel = enlarged[place]
            enlarged[place] = (title, draw_watermark(panel))
    return [(title, Image.fromarray(panel)) for title, panel in enlarged]


def _describe_scale(method: MethodRecord) -> str:
    if method.own_scale_limit is None:
        return method.title
    unit = "" if method.unit == "no unit" else f" {method.unit.removeprefix('change of ')}"
    return f"{method.title}, own scale ±{method.own_scale_limit:g}{unit or ', no unit'}"


def _enlarge_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_PANEL_PX, _PANEL_PX)
    return (np.asarray(Image.fromarray(mask).resize(size)) > 127).astype(np.uint8)


def _enlarge(panel: NDArray[np.uint8], outline: NDArray[np.bool_]) -> NDArray[np.uint8]:
    size = (_PANEL_PX, _PANEL_PX)
    enlarged = np.array(Image.fromarray(panel).resize(size, Image.Resampling.BICUBIC))
    enlarged[outline] = _OUTLINE_RGB
    return enlarged


def _write_head(pen: ImageDraw.ImageDraw, attributions: Attributions, row: int) -> None:
    film = attributions.index.films[row]
    head = (
        f"The network says {film.predicted_class} (probability {film.probability:.3f}); "
        f"the label says {film.true_class}"
    )
    pen.text((_MARGIN_PX, 14), head, fill=_INK, font=_font(19))
    asked = f"explained: {film.explained_class} (probability {film.explained_probability:.3f})"
    words = f"{asked}  ·  {film.why} of {film.true_class}  ·  {film.image_id}  ·  {film.source}"
    pen.text((_MARGIN_PX, 40), words, fill=_FAINT, font=_font(13))


def _draw_foot(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    *,
    top: int,
    scale_limit: float,
    data_verdict: str,
) -> None:
    top += 16
    bar = Image.fromarray(draw_colour_bar(width_px=_PANEL_PX, height_px=14))
    picture.paste(bar, (_MARGIN_PX, top))
    marks = ((0, f"-{scale_limit:g}", "la"), (1, "0", "ma"), (2, f"+{scale_limit:g}", "ra"))
    for place, text, anchor in marks:
        left = _MARGIN_PX + place * _PANEL_PX // 2
        pen.text((left, top + 20), text, fill=_INK, font=_font(13), anchor=anchor)
    words = "Change of probability of the class that is explained. Blue argues against it, orange\n"
    words += "for it; violet: several covers come apart; white line: lungs, where known."
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
