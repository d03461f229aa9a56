"""Matplotlib as small SVG that takes its colours from the page, light or dark.

No text of the data enters a figure (class names stand in the page, beside a figure, where they are
escaped), and no picture depends on the day or on the machine's fonts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxresnet.explain.lungs import LEFT_LUNG, RIGHT_LUNG, Outline
from cxresnet.explain.overlay import draw_overlay, draw_watermark, draw_words
from cxresnet.explain.record import Attributions, MethodRecord
from cxresnet.report.page import build_data_uri, paint_outline

INK = "#010101"
FAINT = "#020202"
GRID = "#030303"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
"""Stand-ins: each becomes a variable of the page's style sheet, see `_COLOURS`."""

_COLOURS = {INK: "var(--ink)", FAINT: "var(--ink-faint)", GRID: "var(--line)"} | {
    stand_in: f"var(--series-{number})" for number, stand_in in enumerate(SERIES, start=1)
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, searchable
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Drawing:
    """One figure in the page.

    Attributes:
        svg: Safe to stand in the page as it is.
        alt_text: What it shows, for those who do not see it.
    """

    svg: Markup
    alt_text: str


def draw_svg(
    name: str,
    draw: Callable[[Axes], None],
    *,
    alt_text: str,
    size_inches: tuple[float, float] = (4.4, 3.2),
) -> Drawing:
    """Draw one pair of axes as SVG.

    Args:
        name: Of the figure, unique in the page; keeps the ids of two figures apart.
        draw: Draws on the axes; names no text of the data.
        alt_text: What the figure shows, one sentence.
        size_inches: Width and height.

    Returns:
        The same bytes for the same drawing on every day.
    """
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=size_inches, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing(svg=_clean(stream.getvalue()), alt_text=alt_text)


def _clean(text: str) -> Markup:
    """Keep the drawing alone, in the page's own colours and letters."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r"#([A-Za-z][\w-]*)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    # Drawn by Matplotlib from numbers and our own words alone; nothing of the data is in it.
    return Markup(text)  # noqa: S704


# One map over its image, as every section shows it: on its scale, and marked where it failed.


def build_map_uri(
    attributions: Attributions,
    method: MethodRecord,
    row: int,
    *,
    side_px: int,
    outline: NDArray[np.bool_] | None = None,
    scale_limit: float | None = None,
) -> str:
    """Draw a map, or words where it is weak, and mark it if its method failed the sanity checks.

    Args:
        attributions: The maps.
        method: Which of them.
        row: Which image.
        side_px: A larger picture is reduced to this side, a marked smaller one is enlarged to it.
        outline: (row, column), painted white.
        scale_limit: Value at both ends of a stretched scale, on which weak maps are drawn too;
            None for the scale of the method.

    Returns:
        A `data:` address.
    """
    weakness = "" if scale_limit else attributions.describe_weakness(method, row)
    picture = draw_overlay(
        attributions.images[row],
        attributions.compute_drawn(method, row),
        scale_limit=scale_limit or attributions.get_scale_limit(method),
    )
    if outline is not None:
        picture = paint_outline(picture, outline)
    if weakness:
        picture = draw_words(picture, weakness, min_side_px=side_px)
    if method.failed_sanity:
        picture = draw_watermark(picture, min_side_px=side_px)
    return build_data_uri(picture, largest_side_px=side_px)


def describe_map(attributions: Attributions, method: MethodRecord, row: int) -> str:
    """Name the value farthest from 0 with its meaning; of an own scale, its ends and its unit.

    A map that is nowhere strong is put into words instead.
    """
    if method.own_scale_limit is not None:
        return f"own scale ±{method.own_scale_limit:g}, {method.unit}"
    weakness = attributions.describe_weakness(method, row)
    if weakness:
        return weakness
    drawn = attributions.compute_drawn(method, row)
    strongest = float(drawn.flat[np.abs(drawn).argmax()])
    effect = "argues for" if strongest > 0 else "argues against"
    beyond = ", beyond the scale" if abs(strongest) > attributions.get_scale_limit(method) else ""
    return f"largest change of probability {strongest:+.2f} ({effect}){beyond}".replace("-", "−")


# A drawing of the lung zones, for readers: SVG in the page's own colours, and in the docs.


_SIDE = 400

_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} 448" role="img" '
    "aria-label=\"Twelve zones of the lungs, as on an image: the patient's right lung is at the "
    "picture's left; upper, middle and lower thirds, each with an inner and an outer half.\">"
)

_TEXT = (
    '<g font-family="system-ui, sans-serif" font-size="12.5" text-anchor="middle" '
    'fill="currentColor">'
)

_MIDDLE = ((154, 18), (131, 140), (106, 258), (104, 330))
"""From tip to floor, the line between the halves of the right lung, in units of the drawing."""


def draw_zones_svg(*, colour: str = "", paper: str = "") -> str:
    """Draw both lungs with their zones and names; the patient's right is at the picture's left.

    Args:
        colour: Of lines and words; "" takes that of the text around.
        paper: Of the background; "" leaves it clear. A file shown by others needs both.
    """
    drawing = _draw()
    if paper:
        drawing = drawing.replace(_TEXT, f'<rect width="400" height="448" fill="{paper}"/>{_TEXT}')
    return drawing.replace("currentColor", colour) if colour else drawing


def _draw() -> str:
    parts = [
        _HEAD,
        _TEXT,
        _draw_lung(RIGHT_LUNG, "right"),
        _draw_lung(LEFT_LUNG, "left"),
        _write(200, 205, "heart", faint=True),
        _write(200, 220, "and", faint=True),
        _write(200, 235, "spine", faint=True),
        _write(105, 404, "patient's RIGHT lung"),
        _write(295, 404, "patient's LEFT lung"),
        _write(105, 420, "(picture's left)", faint=True),
        _write(295, 420, "(picture's right)", faint=True),
        _write(200, 442, "You look at the patient, who faces you.", faint=True),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def _draw_lung(outline: Outline, side: str) -> str:
    """Draw the outline, two lines between the thirds, one between the halves, six names."""
    points = [(across * _SIDE, down * _SIDE) for across, down in outline]
    path = " ".join(f"{'M' if i == 0 else 'L'}{x:.0f} {y:.0f}" for i, (x, y) in enumerate(points))
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    edges = [top + (bottom - top) * third / 3 for third in range(4)]
    middle = _MIDDLE if side == "right" else [(_SIDE - x, y) for x, y in _MIDDLE]
    line = " ".join(f"{'M' if i == 0 else 'L'}{x} {y}" for i, (x, y) in enumerate(middle))
    cuts = "".join(f"M0 {y:.0f}L{_SIDE} {y:.0f}" for y in edges[1:3])
    names = []
    for third, word in enumerate(("upper", "middle", "lower")):
        down = (edges[third] + edges[third + 1]) / 2 + (32, 0, -18)[third]
        for depth, across in (("outer", (96, 78, 68)[third]), ("inner", (157, 148, 140)[third])):
            place = across if side == "right" else _SIDE - across
            names += [_write(place, down, word), _write(place, down + 14, depth)]
    return (
        f'<clipPath id="zones-{side}"><path d="{path}Z"/></clipPath>'
        f'<path d="{path}Z" fill="currentColor" fill-opacity=".08" stroke="currentColor" '
        'stroke-width="2" stroke-linejoin="round"/>'
        f'<path d="{cuts}{line}" clip-path="url(#zones-{side})" fill="none" '
        'stroke="currentColor" stroke-opacity=".55" stroke-dasharray="5 4"/>' + "".join(names)
    )


def _write(across: float, down: float, text: str, *, faint: bool = False) -> str:
    opacity = ' fill-opacity=".65"' if faint else ""
    return f'<text x="{across:.0f}" y="{down:.0f}"{opacity}>{text}</text>'
