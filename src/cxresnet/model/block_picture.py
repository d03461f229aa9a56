"""One block from near: its steps one under the other, its shortcut beside them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from cxresnet.model.blocks import ConvNorm, Shortcut
from cxresnet.model.drawing import Sheet
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite, StochasticDepth
from cxresnet.model.resnet import CXResNet

__all__ = ["draw_block"]

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
    shortcut = block.get_submodule("shortcut")
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
        "through a 1×1 convolution that fits the shape.",
    )
    for index, line in enumerate(lines):
        sheet.write(20, y + 18 + 20 * index, line, style="quiet")
    return y + 18 + 20 * (len(lines) - 1)
