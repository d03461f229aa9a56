"""The zones of every class on a standard pair of lungs: one panel a class, one PNG for all."""

from __future__ import annotations

import functools
import io
import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_bytes
from cxresnet.explain.concept import ClassConcept, Concept, ZoneUse
from cxresnet.explain.overlay import AGAINST_RGB, FOR_RGB
from cxresnet.explain.standard_lungs import draw_standard_zones
from cxresnet.explain.zones import OUTSIDE, ZONE_NAMES

__all__ = ["RADIOLOGY", "compute_tint", "draw_class_panel", "write_concept_picture"]

RADIOLOGY = {
    "normal": "Radiology: clear lungs. There is no finding, so no place of its own.",
    "pneumonia": "Radiology: bacterial pneumonia is mostly one dense patch, often in one lobe of "
    "one lung; any zone can be it. Viral pneumonia is finer and on both sides.",
    "covid-19": "Radiology: mostly a veil on both sides, at the outer edge, in the lower zones. "
    "Early films are often clear, and no pattern is specific.",
}
"""What to expect of an honest map, by class name."""

_SIDE_PX = 640
_HEAD_PX = 100
_FOOT_PX = 204
_PAPER = (14, 17, 22)
_INK = (240, 243, 247)
_FAINT = (165, 175, 188)
_EVEN = np.array((70, 78, 90))
_STRONGEST_RATIO = 4.0


def compute_tint(use: ZoneUse) -> NDArray[np.float64]:
    """Choose a zone's colour: orange where it holds more than its area, blue where less.

    Args:
        use: Of the zone.

    Returns:
        RGB, 0 to 255; full colour from four times the area on, and below a quarter of it.
    """
    share = use.share.value or 0.0
    ratio = max(share, 1e-6) / max(use.area, 1e-6)
    strength = float(np.clip(np.log(ratio) / np.log(_STRONGEST_RATIO), -1, 1))
    colour = np.array(FOR_RGB if strength > 0 else AGAINST_RGB)
    tint: NDArray[np.float64] = _EVEN + abs(strength) * (0.85 * colour - _EVEN)
    return tint


def draw_class_panel(concept: ClassConcept) -> Image.Image:
    """Draw one class: its zones, each with its share of the evidence and the interval."""
    panel = Image.new("RGB", (_SIDE_PX, _HEAD_PX + _SIDE_PX + _FOOT_PX), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((20, 16), f"The network says {concept.class_name}", fill=_INK, font=_font(36))
    words = f"mean of {concept.films} films of {concept.patients} patients"
    pen.text((20, 60), words, fill=_FAINT, font=_font(25))
    if concept.zones:
        panel.paste(_paint_zones(concept), (0, _HEAD_PX))
        _write_numbers(pen, concept)
    else:
        pen.text((20, 300), "No film to measure.", fill=_INK, font=_font(24))
    top = _HEAD_PX + _SIDE_PX
    pen.text((20, top - 8), "patient's right", fill=_FAINT, font=_font(24))
    pen.text((_SIDE_PX - 20, top - 8), "patient's left", fill=_FAINT, font=_font(24), anchor="ra")
    radiology = textwrap.fill(RADIOLOGY.get(concept.class_name, ""), 48)
    pen.text((20, top + 76), radiology, fill=_FAINT, font=_font(24), spacing=5)
    return panel


def write_concept_picture(path: Path, concept: Concept) -> Path:
    """Write all classes side by side as one PNG; returns its path.

    Raises:
        StorageError: The file cannot be written.
    """
    panels = [draw_class_panel(one) for one in concept.classes]
    height = panels[0].height + 84
    picture = Image.new("RGB", (_SIDE_PX * len(panels), height), _PAPER)
    for number, panel in enumerate(panels):
        picture.paste(panel, (number * _SIDE_PX, 0))
    pen = ImageDraw.Draw(picture)
    words = (
        f"Share of all that argues for the answer ({concept.method}), with its 95 % interval over "
        "patients. Orange: more than the zone's area; blue: less."
    )
    pen.text((20, height - 76), textwrap.fill(words, 62 * len(panels)), fill=_INK, font=_font(20))
    pen.text((20, height - 30), DISCLAIMER, fill=_FAINT, font=_font(20))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return write_bytes(path, stream.getvalue())


@functools.cache
def _draw_zones() -> NDArray[np.uint8]:
    return draw_standard_zones(_SIDE_PX)


def _paint_zones(concept: ClassConcept) -> Image.Image:
    zones = _draw_zones()
    palette = np.stack([compute_tint(use) for use in concept.zones])
    palette[0] = _PAPER
    painted = palette[zones]
    painted[_find_borders(zones)] = _PAPER
    return Image.fromarray(np.rint(painted).astype(np.uint8))


def _find_borders(zones: NDArray[np.uint8]) -> NDArray[np.bool_]:
    highest = ndimage.maximum_filter(zones, size=3)
    borders: NDArray[np.bool_] = highest != ndimage.minimum_filter(zones, size=3)
    return borders


def _write_numbers(pen: ImageDraw.ImageDraw, concept: ClassConcept) -> None:
    zones = _draw_zones()
    for number, (name, use) in enumerate(zip(ZONE_NAMES, concept.zones, strict=True)):
        if name == OUTSIDE:
            words = f"outside the lungs {_format_share(use)} ({_format_range(use)}), "
            words += f"area {use.area:.0%}"
            place = (_SIDE_PX / 2, _HEAD_PX + _SIDE_PX + 34)
            pen.text(place, words, fill=_INK, font=_font(27), anchor="ma")
            continue
        rows, columns = np.nonzero(zones == number)
        across, down = float(columns.mean()), float(rows.mean()) + _HEAD_PX
        pen.text((across, down - 14), _format_share(use), fill=_INK, font=_font(32), anchor="mm")
        pen.text((across, down + 16), _format_range(use), fill=_INK, font=_font(22), anchor="mm")


def _format_share(use: ZoneUse) -> str:
    return f"{use.share.value or 0:.0%}"


def _format_range(use: ZoneUse) -> str:
    if use.share.low is None or use.share.high is None:
        return "no interval"
    return f"{100 * use.share.low:.0f}-{100 * use.share.high:.0f}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
