"""Our network folded for fast inference: each norm becomes a part of the convolution before it.

A batch norm in evaluation is a factor and a shift for each channel; both go into the convolution
before it (computed in float64). What is left is convolutions, ReLUs, blurs and gates, laid out
channels last and overwritten in place where a value is not needed again. The predictions are those
of the network up to rounding. Each block says itself how it folds (`Block.describe_fold`).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.model.blocks import Block, ConvNorm, FoldableBlock, Shortcut
from cxresnet.model.ensemble import CXResNetEnsemble, Network
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite
from cxresnet.model.resnet import CXResNet

Step = Callable[[Tensor], Tensor]

_logger = logging.getLogger(__name__)


class NotFoldableError(Exception):
    """A network has a part that cannot be folded; the plain, slower method explains it."""


@dataclass(frozen=True, eq=False)
class FoldedConv:
    """A convolution with its norm inside, and perhaps a ReLU behind.

    Attributes:
        weight: (width, in_width, kernel, kernel), channels last.
        bias: (width,).
        stride: Of the convolution.
        relu: What comes out is at least 0.
    """

    weight: Tensor
    bias: Tensor
    stride: int
    relu: bool

    @property
    def kernel_px(self) -> int:
        """Side of the kernel."""
        return int(self.weight.shape[-1])

    def __call__(self, features: Tensor) -> Tensor:
        """Convolve so that the side is kept, or halved by the stride."""
        return self.run(features, padding=self.kernel_px // 2)

    def run(self, features: Tensor, *, padding: int) -> Tensor:
        """Convolve, (batch, in_width, h, w) channels last."""
        out = functional.conv2d(
            features, self.weight, self.bias, stride=self.stride, padding=padding
        )
        return out.relu_() if self.relu else out


def fold_conv(part: ConvNorm, *, relu: bool = False) -> FoldedConv:
    """Fold a norm into its convolution, and the ReLU behind it too if `relu`.

    Raises:
        NotFoldableError: The norm or the convolution is of another kind.
    """
    norm, convolution = part.norm, part.convolution
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None:
        raise NotFoldableError(f"{type(norm).__name__} cannot be folded")
    if isinstance(convolution, HarmonicConv):
        weight, stride = convolution.compute_kernels(), convolution.stride
    elif isinstance(convolution, nn.Conv2d) and _is_plain(convolution):
        weight, stride = convolution.weight, convolution.stride[0]
    else:
        raise NotFoldableError(f"{type(convolution).__name__} cannot be folded")
    mean, variance = norm.running_mean, norm.running_var
    if mean is None:
        raise NotFoldableError("a norm without running statistics cannot be folded")
    scale = norm.weight.double() / torch.sqrt(variance.double() + norm.eps)
    folded = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
    bias = (norm.bias.double() - mean.double() * scale).to(weight.dtype)
    folded = folded.detach().contiguous(memory_format=torch.channels_last)
    return FoldedConv(weight=folded, bias=bias.detach(), stride=stride, relu=relu)


def _is_plain(convolution: nn.Conv2d) -> bool:
    """Tell whether a convolution keeps the side (or halves it), ungrouped and undilated."""
    kernel_px, stride = convolution.kernel_size[0], convolution.stride[0]
    return (
        convolution.kernel_size == (kernel_px, kernel_px)
        and convolution.stride == (stride, stride)
        and convolution.padding == (kernel_px // 2, kernel_px // 2)
        and convolution.padding_mode == "zeros"
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.bias is None
    )


@dataclass(frozen=True, eq=False)
class FoldedBlur:
    """The blur with a border of 0, whose border is then mended: no copy of the whole map.

    Attributes:
        part: The blur.
    """

    part: BlurPool

    def __call__(self, features: Tensor) -> Tensor:
        """From (batch, width, h, w) to (batch, width, ⌈h/2⌉, ⌈w/2⌉)."""
        if features.shape[2] % 2 or features.shape[3] % 2:
            even: Tensor = self.part(features)
            return even
        kernel = self.part.kernel
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


@dataclass(frozen=True, eq=False)
class FoldedNetwork:
    """A whole network, whose weights stay as they are.

    Attributes:
        stem: Its steps.
        blocks: Of all stages.
        head: From means of the last map to logits.
    """

    stem: tuple[Step, ...]
    blocks: tuple[FoldedBlock, ...]
    head: nn.Linear

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits, (batch, class), of images (batch, 1, height, width)."""
        logits: Tensor = self.head(self.compute_means(images))
        return logits

    def compute_means(self, images: Tensor) -> Tensor:
        """Compute the means of the last map, (batch, channel), from which the head decides."""
        features = images.contiguous(memory_format=torch.channels_last)
        return _compute_tail_means(self.blocks, run_steps(self.stem, features))


@dataclass(frozen=True, eq=False)
class FoldedEnsemble:
    """An ensemble, whose weights stay as they are.

    Attributes:
        members: Its networks.
    """

    members: tuple[FoldedNetwork, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Compute the mean logits, (batch, class), of images (batch, 1, height, width)."""
        return torch.stack([member(images) for member in self.members]).mean(dim=0)

    def compute_means(self, images: Tensor) -> Tensor:
        """Compute the means of all last maps, one behind the other: (batch, members × channel)."""
        return torch.cat([member.compute_means(images) for member in self.members], dim=1)


def run_tail(blocks: tuple[FoldedBlock, ...], head: nn.Linear, features: Tensor) -> Tensor:
    """Compute logits, (batch, class), from what comes into the first of the blocks."""
    logits: Tensor = head(_compute_tail_means(blocks, features))
    return logits


def _compute_tail_means(blocks: tuple[FoldedBlock, ...], features: Tensor) -> Tensor:
    """Compute the means of the last map, (batch, channel), from what the first block receives."""
    return run_steps(blocks, features).mean(dim=(2, 3))


def fold_network(network: Network) -> Step:
    """Fold a network for inference; one that cannot be folded is given back as it is.

    Args:
        network: In evaluation mode. Its weights must not change afterwards.

    Returns:
        From images (batch, 1, height, width) to logits (batch, class), equal to the network's own
        up to rounding, in about half the time. It can be differentiated by the images, not by the
        weights.
    """
    try:
        if isinstance(network, CXResNetEnsemble):
            return FoldedEnsemble(tuple(_fold_single(one) for one in network.networks))
        return _fold_single(network)
    except NotFoldableError as error:
        _logger.debug("The network is used as it is: %s.", error)
        return network


def _fold_single(network: CXResNet) -> FoldedNetwork:
    blocks = [block for stage in network.stages for block in stage.children()]
    return FoldedNetwork(
        stem=fold_layers(list(network.stem.children())),
        blocks=tuple(fold_block(block) for block in blocks),
        head=network.head,
    )


def run_steps(steps: tuple[Step, ...], features: Tensor) -> Tensor:
    """Run steps one after the other."""
    for step in steps:
        features = step(features)
    return features


def describe_fold(block: nn.Module) -> FoldableBlock:
    """Ask a block how it folds.

    Raises:
        NotFoldableError: It does not say, or it inherits what it says but computes otherwise.
    """
    fold = None
    if isinstance(block, Block) and _find_owner(block, "forward") is _find_owner(
        block, "describe_fold"
    ):
        fold = block.describe_fold()
    if fold is None:
        raise NotFoldableError(f"{type(block).__name__} cannot be folded")
    return fold


def _find_owner(block: nn.Module, method: str) -> type | None:
    """Find the class that defines a method: a subclass may change what its parent describes."""
    return next((one for one in type(block).__mro__ if method in vars(one)), None)


def fold_block(block: nn.Module) -> FoldedBlock:
    """Fold a block.

    Raises:
        NotFoldableError: The block does not say how it folds, or one of its layers cannot be.
    """
    fold = describe_fold(block)
    if not fold.branch or (fold.gate is not None and fold.shortcut is None):
        raise NotFoldableError("a block without a branch, or a gate without a shortcut, cannot be")
    return FoldedBlock(
        branch=fold_layers(fold.branch),
        gate=None if fold.gate is None else FoldedGate(fold.gate),
        shortcut=None if fold.shortcut is None else _fold_shortcut(fold.shortcut),
    )


def fold_layers(layers: Sequence[nn.Module]) -> tuple[Step, ...]:
    """Fold layers that run one after the other.

    Raises:
        NotFoldableError: A layer is of a kind that is not known here.
    """
    steps: list[Step] = []
    for layer, relu in pair_with_relu(layers):
        if isinstance(layer, ConvNorm):
            steps.append(fold_conv(layer, relu=relu))
        elif isinstance(layer, BlurPool) and not relu:
            steps.append(FoldedBlur(layer))
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) and not relu:
            steps.append(layer)
        else:
            raise NotFoldableError(f"{type(layer).__name__} cannot be folded")
    return tuple(steps)


def pair_with_relu(layers: Sequence[nn.Module]) -> list[tuple[nn.Module, bool]]:
    """Pair each layer with whether a ReLU follows it, and leave out identities and ReLUs.

    Raises:
        NotFoldableError: The first layer is a ReLU, which no convolution can take over.
    """
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    if layers and isinstance(layers[0], nn.ReLU):
        raise NotFoldableError("a ReLU before the first convolution cannot be folded")
    return [
        (layer, isinstance(follower, nn.ReLU))
        for layer, follower in itertools.zip_longest(layers, layers[1:])
        if not isinstance(layer, nn.ReLU)
    ]


def _fold_shortcut(shortcut: Shortcut) -> tuple[Step, ...]:
    return fold_layers(list(shortcut.children()))
