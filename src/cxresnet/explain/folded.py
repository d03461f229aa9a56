"""Our network for answering many questions fast: norms folded into convolutions, nothing wasted.

A batch norm in evaluation is a factor and a shift a channel; both go into the convolution before it
(computed in float64). What is left is convolutions, ReLUs, blurs and gates, laid out channels last
and, where nobody looks any more, overwritten in place. The answers are those of the network up to
rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.model.blocks import BasicBlock, BottleneckBlock, ConvNorm, PlainBlock, Shortcut
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite
from cxresnet.model.resnet import CXResNet

__all__ = ["FoldedBlock", "FoldedConv", "FoldedGate", "can_fold", "fold_block", "fold_conv"]

Step = Callable[[Tensor], Tensor]


def can_fold(network: CXResNet) -> bool:
    """Say whether a network consists of parts that are known here."""
    return network.architecture.norm == "batch"


@dataclass(frozen=True, eq=False)
class FoldedConv:
    """A convolution with its norm inside, and perhaps a ReLU behind.

    Attributes:
        weight: (width, in_width, kernel, kernel), channels last.
        bias: (width,).
        stride: Of the convolution.
        relu: What comes out is at least 0.
        packed: The weight in the order in which oneDNN reads it; None where there is no oneDNN.
    """

    weight: Tensor
    bias: Tensor
    stride: int
    relu: bool
    packed: Tensor | None

    @property
    def kernel_px(self) -> int:
        """Side of the kernel."""
        return int(self.weight.shape[-1])

    def __call__(self, features: Tensor) -> Tensor:
        """Convolve so that the side is kept, or halved by the stride."""
        return self.run(features, padding=self.kernel_px // 2)

    def run(self, features: Tensor, *, padding: int) -> Tensor:
        """Convolve, (batch, in_width, h, w) channels last."""
        if self.packed is None:
            out = functional.conv2d(
                features, self.weight, self.bias, stride=self.stride, padding=padding
            )
            return out.relu_() if self.relu else out
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
            features,
            self.packed,
            self.bias,
            [padding, padding],
            [self.stride, self.stride],
            [1, 1],
            1,
            "relu" if self.relu else "none",
            [],
            "",
        )
        return fused


def fold_conv(part: ConvNorm, *, relu: bool = False) -> FoldedConv:
    """Fold a norm into its convolution, and the ReLU behind it too if asked."""
    norm, convolution = part.norm, part.convolution
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None:
        raise TypeError(f"{type(norm).__name__} cannot be folded")
    if isinstance(convolution, HarmonicConv):
        weight, stride = convolution.compute_kernels(), convolution.stride
    elif isinstance(convolution, nn.Conv2d):
        weight, stride = convolution.weight, convolution.stride[0]
    else:
        raise TypeError(f"{type(convolution).__name__} cannot be folded")
    mean, variance = norm.running_mean, norm.running_var
    if mean is None:
        raise TypeError("a norm without running statistics cannot be folded")
    scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    folded = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
    bias = (norm.bias.double() - mean.double() * scale).to(weight.dtype)
    folded = folded.detach().contiguous(memory_format=torch.channels_last)
    return FoldedConv(
        weight=folded, bias=bias.detach(), stride=stride, relu=relu, packed=_pack(folded, stride)
    )


def _pack(weight: Tensor, stride: int) -> Tensor | None:
    """Put a weight in oneDNN's order, once instead of at every call.

    The operations are those that PyTorch's own compiler emits. They have no public name, so that
    they are tried, and done without where they are missing or changed.
    """
    if weight.device.type != "cpu" or not torch.backends.mkldnn.enabled:
        return None
    padding = weight.shape[-1] // 2
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001
            weight, [padding] * 2, [stride] * 2, [1, 1], 1, None
        )
    except (AttributeError, RuntimeError, TypeError):
        return None
    return packed


@dataclass(frozen=True, eq=False)
class FoldedGate:
    """Squeeze and excitation, from channel means to channel weights.

    Attributes:
        part: The module whose weights it uses.
    """

    part: SqueezeExcite

    def compute_weights(self, means: Tensor) -> Tensor:
        """From (batch, width) to (batch, width, 1, 1), 0 to 1."""
        squeeze, excite = self.part.squeeze, self.part.excite
        narrow = functional.linear(means, squeeze.weight[:, :, 0, 0], squeeze.bias).relu_()
        weights = functional.linear(narrow, excite.weight[:, :, 0, 0], excite.bias)
        return weights.sigmoid_()[:, :, None, None]


@dataclass(frozen=True, eq=False)
class FoldedBlock:
    """One block.

    Attributes:
        branch: Steps up to what the gate weighs, the last one without ReLU unless there is no
            shortcut.
        gate: None where the block has none.
        shortcut: Steps of the shortcut; empty where the input goes through. None: there is no
            shortcut.
    """

    branch: tuple[Step, ...]
    gate: FoldedGate | None
    shortcut: tuple[Step, ...] | None

    def __call__(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        branch = run_steps(self.branch, features)
        if self.shortcut is None:
            return branch
        shortcut = run_steps(self.shortcut, features)
        if self.gate is None:
            return branch.add_(shortcut).relu_()
        weights = self.gate.compute_weights(branch.mean(dim=(2, 3)))
        return torch.addcmul(shortcut, branch, weights).relu_()


def run_steps(steps: tuple[Step, ...], features: Tensor) -> Tensor:
    """Run steps one after the other."""
    for step in steps:
        features = step(features)
    return features


def fold_block(block: nn.Module) -> FoldedBlock:
    """Fold a block of one of our stages."""
    branch: tuple[Step, ...]
    if isinstance(block, BasicBlock):
        branch = (
            fold_conv(block.conv1, relu=True),
            *_list_blur(block.blur),
            fold_conv(block.conv2),
        )
    elif isinstance(block, BottleneckBlock):
        branch = (
            fold_conv(block.conv1, relu=True),
            fold_conv(block.conv2, relu=True),
            *_list_blur(block.blur),
            fold_conv(block.conv3),
        )
    elif isinstance(block, PlainBlock):
        pool: tuple[Step, ...] = () if isinstance(block.pool, nn.Identity) else (block.pool,)
        conv = fold_conv(block.conv, relu=True)
        steps: tuple[Step, ...] = (*pool, conv)
        return FoldedBlock(branch=steps, gate=None, shortcut=None)
    else:
        raise TypeError(f"{type(block).__name__} cannot be folded")
    gate = block.squeeze_excite
    return FoldedBlock(
        branch=branch,
        gate=FoldedGate(gate) if isinstance(gate, SqueezeExcite) else None,
        shortcut=_fold_shortcut(block.shortcut),
    )


def _list_blur(blur: nn.Module) -> tuple[Step, ...]:
    return (_build_blur(blur),) if isinstance(blur, BlurPool) else ()


def _build_blur(blur: BlurPool) -> Step:
    """Build the blur with a border of 0, and mend the border: no copy of the whole map."""
    kernel = blur.kernel

    def run(features: Tensor) -> Tensor:
        if features.shape[2] % 2 or features.shape[3] % 2:
            even: Tensor = blur(features)
            return even
        width = len(kernel)
        out = functional.conv2d(features, kernel, stride=2, padding=1, groups=width)
        # An even side reaches over the edge at the top and at the left only. What the border
        # lacks is the first row, as often as the kernel's first row says; likewise the column.
        row = functional.pad(features[:, :, :1], (1, 0, 0, 0), mode="replicate")
        out[:, :, :1] += functional.conv2d(row, kernel[:, :, :1], stride=2, groups=width)
        column = features[:, :, :, :1]
        out[:, :, :, :1] += functional.conv2d(
            column, kernel[:, :, :, :1], stride=2, padding=(1, 0), groups=width
        )
        return out

    return run


def _fold_shortcut(shortcut: Shortcut) -> tuple[Step, ...]:
    return tuple(
        fold_conv(part)
        if isinstance(part, ConvNorm)
        else _build_blur(part)
        if isinstance(part, BlurPool)
        else part
        for part in shortcut.children()
    )
