"""The drawing sheet of the diagram (a self-contained SVG), and one block in detail."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from cxresnet.model.blocks import ConvNorm, Shortcut
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite, StochasticDepth
from cxresnet.model.resnet import CXResNet

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
.arch .image { fill: #0c0e11; stroke: var(--line); }
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


# One block in detail: its steps one below the other, its shortcut beside them.


_BRANCH_X, _SHORTCUT_X = 140, 370
_BRANCH_WIDTH, _SHORTCUT_WIDTH = 230, 186
_HEIGHT, _PITCH = 34, 54
_RADIUS = 9
_PLUS = "+"


def draw_block(sheet: Sheet, y: float, model: CXResNet) -> float:
    """Draw the first block that halves the side, as it shows every option.

    Args:
        sheet: Drawn on.
        y: Where to begin.
        model: Whose block it is.

    Returns:
        Where the drawing ends.
    """
    number = min(2, len(model.stages))
    block = model.get_submodule(f"stages.stage{number}.block1")
    steps = list(_list_steps(block))
    sheet.path(f"M20 {y - 6}H460", style="line")
    sheet.write(20, y + 26, f"Inside the first block of stage {number}", style="strong")
    top = y + 84
    end = _draw_chain(sheet, top, steps)
    if _PLUS not in steps:
        return end
    _draw_shortcut(sheet, top - 20, top + steps.index(_PLUS) * _PITCH + _RADIUS, block)
    return _write_notes(sheet, end + 8)


def _list_steps(block: nn.Module) -> Iterator[str]:
    """Say in words what the branch does, step by step, in the order of the block's modules."""
    for module in block.children():
        if isinstance(module, Shortcut):
            yield _PLUS
        elif isinstance(module, StochasticDepth) and module.drop_probability:
            yield f"{100 * module.drop_probability:.2g} % skip it in training"
        elif isinstance(module, SqueezeExcite):
            yield "weigh the channels"
        elif isinstance(module, nn.ReLU):
            yield "ReLU"
        else:
            yield from _describe_step(module)


def _describe_step(module: nn.Module) -> Iterator[str]:
    """Say in words what branches and shortcuts are both made of."""
    if isinstance(module, ConvNorm):
        yield f"{_describe_convolution(module.convolution)}, norm"
    elif isinstance(module, BlurPool):
        yield "blur, halve the side"
    elif isinstance(module, nn.MaxPool2d):
        yield "max pool, halve the side"
    elif isinstance(module, nn.AvgPool2d):
        yield "mean of 2 × 2 px"
    elif isinstance(module, nn.Conv2d | HarmonicConv):
        yield _describe_convolution(module)
    elif any(True for _ in module.parameters()):
        yield type(module).__name__


def _describe_convolution(convolution: nn.Module) -> str:
    if isinstance(convolution, HarmonicConv):
        kernel, stride, filters = 3, convolution.stride, " cosines"
    elif isinstance(convolution, nn.Conv2d):
        kernel, stride, filters = convolution.kernel_size[0], convolution.stride[0], ""
    else:
        raise TypeError(f"no picture for a convolution of type {type(convolution).__name__}")
    striding = ", stride 2" if stride == 2 else ""
    return f"{kernel}×{kernel}{filters}{striding}"


def _draw_chain(sheet: Sheet, y: float, steps: list[str]) -> float:
    """Draw the branch; returns where its last arrow ends."""
    sheet.arrow(_BRANCH_X, y - 36, y)
    for index, step in enumerate(steps):
        top = y + index * _PITCH
        if step == _PLUS:
            sheet.plus(_BRANCH_X, top + _RADIUS)
            sheet.arrow(_BRANCH_X, top + 2 * _RADIUS, top + _PITCH)
            continue
        sheet.box(_BRANCH_X - _BRANCH_WIDTH / 2, top, _BRANCH_WIDTH, _HEIGHT, style="block")
        sheet.write(_BRANCH_X, top + 22, step, anchor="middle")
        sheet.arrow(_BRANCH_X, top + _HEIGHT, top + _PITCH)
    return y + len(steps) * _PITCH


def _draw_shortcut(sheet: Sheet, y: float, plus_y: float, block: nn.Module) -> None:
    """Draw the way around the branch, from above its first step to the plus."""
    right = _SHORTCUT_X
    sheet.path(
        f"M{_BRANCH_X} {y:g}H{right - 10}q10 0 10 10V{plus_y - 10:g}q0 10 -10 10"
        f"H{_BRANCH_X + _RADIUS}",
        style="arc",
    )
    shortcut = next(part for part in block.children() if isinstance(part, Shortcut))
    words = [word for module in shortcut.children() for word in _describe_step(module)]
    words = words or ["handed through"]
    top = (y + plus_y - (len(words) - 1) * _PITCH - _HEIGHT) / 2
    for index, word in enumerate(words):
        place = top + index * _PITCH
        sheet.box(right - _SHORTCUT_WIDTH / 2, place, _SHORTCUT_WIDTH, _HEIGHT, style="side")
        sheet.write(right, place + 22, word, anchor="middle")


def _write_notes(sheet: Sheet, y: float) -> float:
    lines = (
        "The branch learns what to add to its input; the shortcut",
        "(arc) carries the input past it. Dashed arcs above go",
        "through a 1×1 convolution that changes the shape.",
    )
    for index, line in enumerate(lines):
        sheet.write(20, y + 18 + 20 * index, line, style="quiet")
    return y + 18 + 20 * (len(lines) - 1)
