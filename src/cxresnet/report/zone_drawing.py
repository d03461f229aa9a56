"""A drawing of the lung zones, for readers: SVG in the page's own colours, and in the docs."""

from __future__ import annotations

from cxresnet.explain.standard_lungs import LEFT_LUNG, RIGHT_LUNG, Outline

__all__ = ["draw_zones_svg"]

_SIDE = 400

_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} 448" role="img" '
    "aria-label=\"Twelve zones of the lungs, as on a film: the patient's right lung is at the "
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
