"""The summary of a network by layer: shapes, parameters, multiply-adds, receptive fields."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cxresnet.model.blocks import Shortcut
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite
from cxresnet.model.resnet import CXResNet


@dataclass(frozen=True)
class LayerRow:
    """One line of the table.

    Attributes:
        layer: Its name in the network, for example "stage2.block1".
        kind: What it is, for example "BasicBlock".
        output_shape: (channels, height, width), or (classes,) of the head.
        parameters: Learned numbers.
        multiply_adds: For one image. Convolutions and the head count; norms, ReLUs and pools do
            not.
        receptive_field_px: Side of the window of the image that one output place sees through
            convolutions and pools; None where all of the image is seen. The gates of
            squeeze-excite, which see the mean of everything, are left aside.
    """

    layer: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field_px: int | None


@dataclass(frozen=True)
class Totals:
    """Sums over the table.

    Attributes:
        parameters: Learned numbers.
        multiply_adds: For one image.
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class _Window:
    """What one place of a map sees: `side_px` of the image, neighbours being `step_px` apart."""

    side_px: int = 1
    step_px: int = 1


def summarise_model(model: CXResNet, *, side_px: int) -> list[LayerRow]:
    """Describe a network layer by layer, without computing or changing anything.

    Args:
        model: Any network of ours; a copy without weights is looked at.
        side_px: Side of a square image.

    Returns:
        A row for each part of the stem, each block, the pool and the head, in order. Parameters
        and multiply-adds of the rows add up to those of the network.
    """
    shapes = _trace_shapes(model, side_px=side_px)
    rows: list[LayerRow] = []
    window: _Window | None = _Window()
    for name, module in _list_parts(model):
        window = _widen(window, module)
        rows.append(
            LayerRow(
                layer=name.removeprefix("stages."),
                kind=_name_kind(module),
                output_shape=shapes[name],
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                multiply_adds=_count_multiply_adds(name, module, shapes),
                receptive_field_px=None if window is None else window.side_px,
            )
        )
    return rows


def compute_totals(rows: Sequence[LayerRow]) -> Totals:
    """Add the rows up."""
    return Totals(
        parameters=sum(row.parameters for row in rows),
        multiply_adds=sum(row.multiply_adds for row in rows),
    )


def _trace_shapes(model: CXResNet, *, side_px: int) -> dict[str, tuple[int, ...]]:
    """Find the output shape of every module by a black image.

    Tensors without numbers (on the device "meta") would do, but take seconds to import.
    """
    ghost = copy.deepcopy(model).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(name: str, output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    for name, module in ghost.named_modules():
        module.register_forward_hook(lambda _module, _inputs, out, name=name: remember(name, out))
    with torch.no_grad():
        ghost(torch.zeros(1, 1, side_px, side_px, device=next(ghost.parameters()).device))
    return shapes


def _list_parts(model: CXResNet) -> Iterator[tuple[str, nn.Module]]:
    for name, part in model.stem.named_children():
        if not isinstance(part, nn.ReLU):
            yield f"stem.{name}", part
    for stage_name, stage in model.stages.named_children():
        for block_name, block in stage.named_children():
            yield f"stages.{stage_name}.{block_name}", block
    yield "pool", model.pool
    yield "head", model.head


def _name_kind(module: nn.Module) -> str:
    return type(module).__name__.replace("AdaptiveAvgPool2d", "Mean").removesuffix("2d")


def _count_multiply_adds(name: str, part: nn.Module, shapes: dict[str, tuple[int, ...]]) -> int:
    """Count what one image costs in a part: for each output number, the inputs it weighs."""
    total = 0
    for inner, module in part.named_modules():
        places = _multiply(shapes.get(f"{name}.{inner}" if inner else name, ()))
        if isinstance(module, nn.Conv2d | nn.Linear):
            total += places * _multiply(module.weight.shape[1:])
        elif isinstance(module, BlurPool):
            total += places * 9
        elif isinstance(module, HarmonicConv):
            kernels = _multiply(module.mixture.shape)  # each of 9 numbers is a mix of 9
            total += places * module.mixture.shape[1] * 9 + kernels * 9
    return total


def _multiply(numbers: Sequence[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


def _widen(window: _Window | None, part: nn.Module) -> _Window | None:
    """Let a window grow through a part, on the longest way: around shortcuts and gates.

    A window grows by (kernel - 1) steps of its map; a stride makes the steps longer.
    """
    if window is None or isinstance(part, nn.AdaptiveAvgPool2d | nn.Linear):
        return None
    for module in _list_longest_way(part):
        kernel, stride = _measure_kernel(module)
        window = _Window(
            side_px=window.side_px + (kernel - 1) * window.step_px,
            step_px=window.step_px * stride,
        )
    return window


def _list_longest_way(part: nn.Module) -> Iterator[nn.Module]:
    if isinstance(part, Shortcut | SqueezeExcite):
        return
    children = list(part.children())
    if not children:
        yield part
    for child in children:
        yield from _list_longest_way(child)


def _measure_kernel(module: nn.Module) -> tuple[int, int]:
    """Say kernel and stride in places of the map."""
    if isinstance(module, nn.Conv2d):
        return module.kernel_size[0], module.stride[0]
    if isinstance(module, nn.MaxPool2d):
        return int(module.kernel_size), int(module.stride)  # type: ignore[arg-type]
    if isinstance(module, HarmonicConv):
        return 3, module.stride
    if isinstance(module, BlurPool):
        return 3, 2
    return 1, 1
