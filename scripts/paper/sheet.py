"""Drawings of the study as files: SVG with text as text, on white paper in a light or dark page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxresnet.report.figures import Drawing

WIDTH = 440
SERIES = ("#1d5bd0", "#c2500a", "#0b7a63", "#8b3fc4", "#a5264f", "#5f6b00")
INK, FAINT, LINE, FILL = "#151a21", "#56606d", "#b9c2cc", "#eef3fb"

_COLOURS = {
    "var(--ink)": INK,
    "var(--ink-faint)": FAINT,
    "var(--line)": "#dde2e8",
} | {f"var(--series-{number})": colour for number, colour in enumerate(SERIES, start=1)}
_FONT = "font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Cell:
    """One cell of a table that is drawn: its lines of text, the first one bold.

    Attributes:
        lines: None of them for an empty cell.
        share: How strongly the cell is coloured, 0 to 1.
        colour: Number of the colour.
    """

    lines: tuple[str, ...] = ()
    share: float = 0.0
    colour: int = 0


def write(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 13,
    bold: bool = False,
    anchor: str = "start",
    colour: str = INK,
) -> str:
    """Write one line of text with its baseline at `y`."""
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{weight} text-anchor="{anchor}" '
        f'fill="{colour}">{html.escape(text)}</text>'
    )


def draw_box(x: float, y: float, width: float, lines: Sequence[str], *, side: bool = False) -> str:
    """Draw a box with its lines, the first one bold; a side box is white, and dashed."""
    style = f'fill="#ffffff" stroke="{FAINT}" stroke-dasharray="4 3"' if side else _BOX
    words = [
        write(x + 10, y + 20 + 17 * row, line, size=12 if row or side else 13, bold=row == 0)
        for row, line in enumerate(lines)
    ]
    height = measure_box(lines)
    box = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" {style}/>'
    return box + "".join(words)


_BOX = f'fill="{FILL}" stroke="{SERIES[0]}"'


def measure_box(lines: Sequence[str]) -> float:
    """Measure the height of a box with these lines."""
    return 17.0 * len(lines) + 13


def draw_arrow(points: Sequence[tuple[float, float]]) -> str:
    """Draw an arrow along points; it ends at the last one."""
    way = "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{way}" fill="none" stroke="{FAINT}" marker-end="url(#tip)"/>'


def finish(
    shapes: Iterable[str], *, height: float, title: str, description: str, width: float = WIDTH
) -> str:
    """Put shapes together as a file of their own."""
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{FAINT}"/></marker></defs>'
    )
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'role="img" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'style="{_FONT}"><title>{html.escape(title)}</title>'
        f"<desc>{html.escape(description)}</desc>"
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>'
    )
    return "\n".join([head, tip, *shapes, "</svg>"]) + "\n"


def build_chart_file(
    drawing: Drawing, *, title: str, legend: Sequence[tuple[int, str]] = ()
) -> str:
    """Make a chart of the report a file of its own: fixed colours, its title, names of its lines.

    Args:
        drawing: As the report shows it, without any name of the data in it.
        title: Stands above it.
        legend: Number of the colour and the name of each line.
    """
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing.svg)
    across, down = (float(part) for part in found.groups()) if found else (1.0, 1.0)
    width = WIDTH - 20
    top = 40 + 20 * len(legend)
    height = width * down / across
    inner = str(drawing.svg)
    for variable, colour in _COLOURS.items():
        inner = inner.replace(variable, colour)
    place = f'<svg x="10" y="{top}" width="{width}" height="{height:.1f}" '
    shapes = [write(14, 26, title, size=15, bold=True)]
    for row, (number, name) in enumerate(legend):
        y = 48 + 20 * row
        colour = SERIES[number % len(SERIES)]
        shapes.append(f'<path d="M14 {y - 4}h22" stroke="{colour}" stroke-width="3"/>')
        shapes.append(write(44, y, name))
    shapes.append(inner.replace("<svg ", place, 1))
    return finish(shapes, height=top + height + 8, title=title, description=drawing.alt_text)


def draw_table(
    cells: Sequence[Sequence[Cell]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    corner: str,
    description: str,
) -> str:
    """Draw a table whose cells are coloured by their number."""
    longest = max((len(line) for name in rows for line in name.split("\n")), default=0)
    left, tall = 26.0 + 7.6 * longest, 62.0
    top = 78.0 + 15 * max((name.count("\n") for name in columns), default=0)
    wide = (WIDTH - 12 - left) / max(1, len(columns))
    shapes = [write(14, 26, title, size=15, bold=True), write(14, 48, corner, colour=FAINT)]
    for number, name in enumerate(columns):
        middle = left + wide * (number + 0.5)
        lines = name.split("\n")
        shapes += [
            write(middle, top - 8 - 15 * (len(lines) - 1 - at), line, anchor="middle", bold=True)
            for at, line in enumerate(lines)
        ]
    for row, name in enumerate(rows):
        y = top + tall * row
        lines = name.split("\n")
        first = y + tall / 2 + 4 - 7.5 * (len(lines) - 1)
        shapes += [
            write(left - 8, first + 15 * at, line, anchor="end", bold=True, size=12.5)
            for at, line in enumerate(lines)
        ]
        for column, cell in enumerate(cells[row]):
            shapes.append(_draw_cell(left + wide * column, y, wide, tall, cell))
    height = top + tall * len(rows) + 12
    return finish(shapes, height=height, title=title, description=description)


def _draw_cell(x: float, y: float, width: float, height: float, cell: Cell) -> str:
    opacity = f"{0.55 * min(1.0, max(0.0, cell.share)):.3f}"
    box = (
        f'<rect x="{x + 2:g}" y="{y + 2:g}" width="{width - 4:g}" height="{height - 4:g}" rx="4" '
        f'fill="{SERIES[cell.colour]}" fill-opacity="{opacity}" stroke="{LINE}"/>'
    )
    middle, first = x + width / 2, y + height / 2 + 4 - 8 * (len(cell.lines) - 1)
    words = [
        write(
            middle,
            first + 16 * row,
            line,
            anchor="middle",
            bold=row == 0,
            size=13 - 1.5 * (row > 0),
        )
        for row, line in enumerate(cell.lines)
    ]
    return box + "".join(words)
