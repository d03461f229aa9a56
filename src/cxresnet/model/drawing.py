"""A sheet to draw on: boxes, text and arrows that become one SVG without outside resources."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

__all__ = ["Sheet"]

_STYLE = """
.arch { --paper: #ffffff; --ink: #1d2733; --quiet: #5b6877; --line: #8794a3; --map: #d9e6f2;
  --map-edge: #4d7ea8; --block: #eaf3ea; --block-edge: #4b8a57; --arc: #b4561f; --bar: #4d7ea8;
  --track: #e6eaee; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; }
@media (prefers-color-scheme: dark) { .arch { --paper: #14181d; --ink: #e7ecf1; --quiet: #a4b0bc;
  --line: #6f7d8b; --map: #22384b; --map-edge: #7fb0da; --block: #1f3324; --block-edge: #7dbb88;
  --arc: #e8935c; --bar: #7fb0da; --track: #2a3138; } }
.arch text { fill: var(--ink); font-size: 15px; }
.arch .paper { fill: var(--paper); }
.arch .title { font-size: 21px; font-weight: 650; }
.arch .strong { font-weight: 650; }
.arch .quiet { fill: var(--quiet); font-size: 14px; }
.arch .sign { fill: var(--arc); font-weight: 700; }
.arch .line { stroke: var(--line); stroke-width: 1.5; fill: none; }
.arch .tip { fill: var(--line); }
.arch .arc { stroke: var(--arc); stroke-width: 2; fill: none; }
.arch .dashed { stroke-dasharray: 5 4; }
.arch .plus { stroke: var(--arc); stroke-width: 2; fill: var(--paper); }
.arch .map { fill: var(--map); stroke: var(--map-edge); }
.arch .block { fill: var(--block); stroke: var(--block-edge); stroke-width: 1.5; }
.arch .side { fill: var(--paper); stroke: var(--arc); stroke-width: 1.5; }
.arch .bar { fill: var(--bar); }
.arch .track { fill: var(--track); }
.arch .film { fill: #0c0e11; stroke: var(--line); }
.arch .tissue { fill: #7d858d; }
.arch .lung { fill: #23282d; }
.arch .bone { stroke: #a5adb5; stroke-width: 1.4; fill: none; opacity: 0.75; }
"""


@dataclass
class Sheet:
    """Collects shapes; y grows downwards; `style` is a class of the style sheet.

    Attributes:
        width: Of the sheet, in its own units.
        shapes: SVG elements so far, from back to front.
    """

    width: int
    shapes: list[str] = field(default_factory=list)

    def write(
        self, x: float, y: float, words: str, *, style: str = "", anchor: str = "start"
    ) -> None:
        """Write one line with its baseline at `y`; `anchor` is start, middle or end."""
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">'
            f"{html.escape(words)}</text>"
        )

    def box(
        self, x: float, y: float, width: float, height: float, *, style: str, radius: float = 5
    ) -> None:
        """Draw a box by its upper left corner."""
        self.shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
            f'class="{style}"/>'
        )

    def path(self, way: str, *, style: str) -> None:
        """Draw along a way in SVG's own language."""
        self.shapes.append(f'<path d="{way}" class="{style}"/>')

    def arrow(self, x: float, y: float, to_y: float) -> None:
        """Draw an arrow straight down."""
        self.path(f"M{x:g} {y:g}V{to_y - 6:g}", style="line")
        self.path(f"M{x:g} {to_y:g}l-5 -8h10z", style="tip")

    def plus(self, x: float, y: float) -> None:
        """Draw the sign where a branch and its shortcut are added."""
        self.shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="9" class="plus"/>')
        self.path(f"M{x - 5:g} {y:g}h10M{x:g} {y - 5:g}v10", style="arc")

    def to_svg(self, height: float, *, title: str, description: str) -> str:
        """Put the sheet together.

        Args:
            height: Of the sheet, in its own units.
            title: Read aloud, and shown by a pointer at rest.
            description: Read aloud; what the picture shows, in words.
        """
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="arch" role="img" '
            f'viewBox="0 0 {self.width} {height:g}" width="100%" '
            f'style="max-width: {self.width * 1.3:g}px" '
            f'aria-labelledby="arch-title arch-description">'
            f'<title id="arch-title">{html.escape(title)}</title>'
            f'<desc id="arch-description">{html.escape(description)}</desc>'
            f"<style>{_STYLE}</style>"
            f'<rect width="{self.width}" height="{height:g}" rx="8" class="paper"/>'
        )
        return "\n".join([head, *self.shapes, "</svg>"]) + "\n"
