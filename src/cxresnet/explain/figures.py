"""One PNG per image: the image, its maps with captions, the colour bar and the disclaimer."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_bytes
from cxresnet.explain.overlay import (
    LEAST_CHANGE,
    SCALE_LIMIT,
    draw_baseline_range,
    draw_colour_bar,
    draw_overlay,
    draw_watermark,
    draw_words,
    find_outline,
    load_font,
)
from cxresnet.explain.record import Attributions, MethodRecord

_PANEL_PX = 384
_MARGIN_PX = 24
_HEAD_PX = 64
_TITLE_PX = 46
_MOST_COLUMNS = 4
_FOOT_PX = 140
_PAPER = (14, 17, 22)
_INK = (232, 236, 241)
_FAINT = (158, 168, 181)
_OUTLINE_RGB = (255, 255, 255)


def write_figures(folder: Path, attributions: Attributions) -> tuple[Path, ...]:
    """Write one PNG per image; those of an earlier run are removed first.

    Raises:
        StorageError: The folder cannot be written.
    """
    for old in folder.glob("image-*.png"):
        old.unlink()
    return tuple(
        write_bytes(
            folder / _build_name(attributions, row),
            _encode(draw_explanation_figure(attributions, row)),
        )
        for row in range(len(attributions.images))
    )


def draw_explanation_figure(
    attributions: Attributions, row: int, *, stretched: bool = False
) -> Image.Image:
    """Draw one image beside its maps, with the colour bar that all images share.

    Args:
        attributions: The maps.
        row: Of the image.
        stretched: Also draw weak maps, on a scale that each fills and that stands above it;
            otherwise words stand in the place of such a map.
    """
    index = attributions.index
    panels = draw_panels(attributions, row, stretched=stretched)
    columns = min(len(panels), _MOST_COLUMNS)
    lines = -(-len(panels) // columns)
    line_px = _PANEL_PX + _TITLE_PX
    width = max(columns, 2) * (_PANEL_PX + _MARGIN_PX) + _MARGIN_PX
    top = _HEAD_PX + lines * line_px
    picture = Image.new("RGB", (width, top + _FOOT_PX), _PAPER)
    pen = ImageDraw.Draw(picture)
    _write_head(pen, attributions, row)
    for number, panel in enumerate(panels):
        left = _MARGIN_PX + number % columns * (_PANEL_PX + _MARGIN_PX)
        down = _HEAD_PX + number // columns * line_px
        pen.text((left, down), panel.title, fill=_INK, font=load_font(13))
        pen.text((left, down + 19), panel.caption, fill=_FAINT, font=load_font(11))
        picture.paste(Image.fromarray(panel.pixels), (left, down + _TITLE_PX - 6))
    _draw_foot(picture, pen, top=top, data_verdict=index.data_verdict)
    return picture


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of the figure, with what stands above it.

    Attributes:
        title: What it shows.
        caption: What a value is; "" for the image itself.
        pixels: (row, column, 3).
    """

    title: str
    caption: str
    pixels: NDArray[np.uint8]


def draw_panels(attributions: Attributions, row: int, *, stretched: bool = False) -> list[Panel]:
    """Draw the image, each map, then the range between baselines of methods that have several."""
    image, record = attributions.images[row], attributions.index.images[row]
    outline = find_outline(_enlarge_mask(attributions.lung_masks[row]))
    panels = [Panel("Image", "", _enlarge(np.repeat(image[..., None], 3, axis=2), outline))]
    for method in attributions.index.methods:
        values = attributions.compute_drawn(method, row)
        weakness = attributions.describe_weakness(method, row)
        limit = attributions.get_scale_limit(method)
        title, caption = _describe_scale(method), method.describe_value(record.explained_class)
        if weakness and stretched:
            limit = attributions.compute_stretched_limit(method, row)
            title = f"{method.title}, stretched to ±{limit:g}: not comparable"
        elif weakness:
            values, caption = np.zeros_like(values), weakness
        else:
            caption = f"{caption}; {_describe_largest(values)}"
        drawn = _enlarge(draw_overlay(image, values, scale_limit=limit), outline)
        if weakness and not stretched:
            drawn = draw_words(drawn, weakness)
        if method.failed_sanity:
            drawn = draw_watermark(drawn)
        panels.append(Panel(title, caption, drawn))
    for method in attributions.index.methods:
        if method.name not in attributions.baseline_ranges:
            continue
        values, limit = (
            attributions.baseline_ranges[method.name][row],
            attributions.get_scale_limit(method),
        )
        drawn = _enlarge(draw_baseline_range(image, values, scale_limit=limit), outline)
        caption = "largest minus smallest value over the occlusion baselines"
        panels.append(Panel(f"{method.title}: range between baselines", caption, drawn))
    return panels


def _describe_largest(values: NDArray[np.float32]) -> str:
    strongest = float(values.flat[np.abs(values).argmax()])
    return f"largest {strongest:+.2f}".replace("-", "−")


def _describe_scale(method: MethodRecord) -> str:
    if method.own_scale_limit is None:
        return method.title
    return f"{method.title}, own scale ±{method.own_scale_limit:g}"


def _enlarge_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_PANEL_PX, _PANEL_PX)
    return (np.asarray(Image.fromarray(mask).resize(size)) > 127).astype(np.uint8)


def _enlarge(panel: NDArray[np.uint8], outline: NDArray[np.bool_]) -> NDArray[np.uint8]:
    size = (_PANEL_PX, _PANEL_PX)
    enlarged = np.array(Image.fromarray(panel).resize(size, Image.Resampling.BICUBIC))
    enlarged[outline] = _OUTLINE_RGB
    return enlarged


def _write_head(pen: ImageDraw.ImageDraw, attributions: Attributions, row: int) -> None:
    image = attributions.index.images[row]
    head = f"Predicted: {image.predicted_class} (probability {image.probability:.3f})"
    if image.true_class:
        head += f"  ·  label: {image.true_class}"
    pen.text((_MARGIN_PX, 14), head, fill=_INK, font=load_font(19))
    label = f", label {image.true_class}" if image.true_class else ""
    words = "  ·  ".join(
        part
        for part in (
            f"explained: {image.explained_class} (probability {image.explained_probability:.3f})",
            f"{image.caption}{label}",
            image.image_id,
            image.source,
        )
        if part
    )
    pen.text((_MARGIN_PX, 40), words, fill=_FAINT, font=load_font(13))


def _draw_foot(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    *,
    top: int,
    data_verdict: str,
) -> None:
    top += 16
    bar = Image.fromarray(draw_colour_bar(width_px=_PANEL_PX, height_px=14))
    picture.paste(bar, (_MARGIN_PX, top))
    marks = ((0, f"−{SCALE_LIMIT:g}", "la"), (1, "0", "ma"), (2, f"+{SCALE_LIMIT:g}", "ra"))
    for place, text, anchor in marks:
        left = _MARGIN_PX + place * _PANEL_PX // 2
        pen.text((left, top + 20), text, fill=_INK, font=load_font(13), anchor=anchor)
    words = (
        "Change of the probability of the explained class. Orange: evidence for it; blue:\n"
        "evidence against it; violet: the value depends on the baseline; white line: lungs.\n"
        f"One scale for all images. Maps below {LEAST_CHANGE:g} everywhere are put into words."
    )
    left = 2 * _MARGIN_PX + _PANEL_PX
    pen.text((left, top - 4), words, fill=_FAINT, font=load_font(13), spacing=4)
    pen.text((left, top + 54), DISCLAIMER, fill=_INK, font=load_font(13))
    pen.text(
        (_MARGIN_PX, top + 78), textwrap.fill(data_verdict, 150), fill=_INK, font=load_font(12)
    )


def _build_name(attributions: Attributions, row: int) -> str:
    image = attributions.index.images[row]
    words = f"{image.true_class} {image.selection_reason.rsplit(' ', 1)[-1]}"
    slug = re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")
    return f"image-{row + 1:02d}-{slug}.png"


def _encode(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    # Six times as fast as the smallest file, and a twentieth larger.
    picture.save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
