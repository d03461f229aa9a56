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
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["FAINT", "GRID", "INK", "SERIES", "Drawing", "draw_svg"]

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
        words: What it shows, for those who do not see it.
    """

    svg: Markup
    words: str


def draw_svg(
    name: str,
    draw: Callable[[Axes], None],
    *,
    words: str,
    size_inches: tuple[float, float] = (4.4, 3.2),
) -> Drawing:
    """Draw one pair of axes as SVG.

    Args:
        name: Of the figure, unique in the page; keeps the ids of two figures apart.
        draw: Draws on the axes; names no text of the data.
        words: What the figure shows, one sentence.
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
    return Drawing(svg=_clean(stream.getvalue()), words=words)


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
