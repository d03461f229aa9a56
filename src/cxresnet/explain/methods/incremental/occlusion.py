"""Occlusion of one image, a patch at a time, without computing anything twice.

The unoccluded image goes through stem and first block once. Of an occluded image only the windows
that the patch can reach are computed there (`local.py`), up to the gate of the first block: squeeze
and excitation weighs channels by their mean over the whole map, so that from there on every place
changes a little. The gate's means are updated exactly, from the window alone. The rest runs whole,
folded (`model/folding.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.explain.methods.incremental.local import (
    LocalStep,
    PrecomputedLayer,
    Windows,
    cut_windows,
    find_inside,
    grow_windows,
    list_pixels,
)
from cxresnet.explain.methods.patches import Patch
from cxresnet.model.blocks import ConvNorm
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.folding import (
    FoldedBlock,
    FoldedGate,
    NotFoldableError,
    describe_fold,
    fold_block,
    fold_conv,
    pair_with_relu,
    run_tail,
)
from cxresnet.model.layers import BlurPool
from cxresnet.model.resnet import CXResNet, Stem
from cxresnet.predict.decision import CalibratedNetwork, calibrate_logits

_logger = logging.getLogger(__name__)

_BATCH = 32
"""Images at once: the maps of so many still lie in the cache of a common processor."""


@dataclass(frozen=True, eq=False)
class _GatedBlock:
    """The first block, up to its gate window by window.

    Attributes:
        branch: Its convolutions.
        gate: Its squeeze and excitation.
    """

    branch: tuple[LocalStep, ...]
    gate: FoldedGate


@dataclass(frozen=True, eq=False)
class FastNetwork:
    """A network taken apart for many questions.

    Attributes:
        stem: Layer by layer.
        first: The first block, where it can be asked window by window.
        blocks: All other blocks.
        head: From means of the last map to logits.
        temperature: That the logits are divided by.
        shifts: That are added then, one a class; empty for none.
    """

    stem: tuple[LocalStep, ...]
    first: _GatedBlock | None
    blocks: tuple[FoldedBlock, ...]
    head: nn.Linear
    temperature: float
    shifts: tuple[float, ...]

    def precompute(self, image: Tensor) -> PrecomputedImage:
        """Take one image, (1, height, width), normalised, through the first layers."""
        features = image[None].contiguous(memory_format=torch.channels_last)
        stem = _precompute_steps(self.stem, features)
        if self.first is None:
            return PrecomputedImage(self, image, stem=stem, branch=())
        return PrecomputedImage(
            self, image, stem=stem, branch=_precompute_steps(self.first.branch, stem[-1].out)
        )

    def finish(self, features: Tensor) -> Tensor:
        """Compute logits, (batch, class), from what the first layers gave."""
        logits = run_tail(self.blocks, self.head, features)
        return calibrate_logits(logits, temperature=self.temperature, shifts=self.shifts)


@dataclass(frozen=True, eq=False)
class PrecomputedImage:
    """One image, and what the first layers made of it.

    Attributes:
        network: Of the maps.
        image: (1, height, width).
        stem: Layer by layer.
        branch: Of the first block, layer by layer; empty where it runs whole.
    """

    network: FastNetwork
    image: Tensor
    stem: tuple[PrecomputedLayer, ...]
    branch: tuple[PrecomputedLayer, ...]

    def predict_occluded(self, patches: Sequence[Patch], baseline: Tensor) -> Tensor:
        """Compute the logits of the image with each patch covered in turn.

        Args:
            patches: Inside of the image.
            baseline: (1, height, width): what stands in a patch when it is covered.

        Returns:
            (patches, class).
        """
        logits = [
            self.network.finish(self._start(patches[first : first + _BATCH], baseline))
            for first in range(0, len(patches), _BATCH)
        ]
        return torch.cat(logits)

    def _start(self, patches: Sequence[Patch], baseline: Tensor) -> Tensor:
        """Take covered images through the first layers: (batch, channel, h, w)."""
        windows = self._occlude(patches, baseline)
        for layer in self.stem:
            windows = grow_windows(layer, windows)
        after_stem = self.stem[-1].out
        if self.network.first is None:
            whole = after_stem.expand(len(patches), -1, -1, -1).contiguous(
                memory_format=torch.channels_last
            )
            windows.paste_into(whole)
            return whole
        branch = windows
        for layer in self.branch:
            branch = grow_windows(layer, branch)
        return self._weigh(windows, branch, gate=self.network.first.gate)

    def _weigh(self, windows: Windows, branch: Windows, *, gate: FoldedGate) -> Tensor:
        """Put the first block together: its input + gate × its branch, then ReLU."""
        whole_input, whole_branch = self.stem[-1].out, self.branch[-1].out
        sums = whole_branch.sum(dim=(2, 3)) - branch.sum_of(whole_branch)
        sums = sums + branch.values.sum(dim=(2, 3))
        weights = gate.compute_weights(sums / (whole_branch.shape[2] * whole_branch.shape[3]))
        out = torch.addcmul(whole_input, whole_branch, weights)
        inputs = cut_windows(whole_input, branch.places, size=branch.size, over=windows)
        changed = torch.addcmul(inputs, branch.values, weights)
        Windows(changed, branch.places).paste_into(out)
        return out.relu_()

    def _occlude(self, patches: Sequence[Patch], baseline: Tensor) -> Windows:
        """Cut out of the image a window around each patch, the patch covered."""
        device = self.image.device
        corners = torch.tensor([[patch.top, patch.left] for patch in patches], device=device)
        sides = torch.tensor([[patch.height, patch.width] for patch in patches], device=device)
        size = (max(one.height for one in patches), max(one.width for one in patches))
        room = [side - own for side, own in zip(self.image.shape[1:], size, strict=True)]
        places = torch.minimum(corners, corners.new_tensor(room))
        covered = find_inside(*list_pixels(places, size), corners=corners, sides=sides)
        values = torch.where(
            covered[:, None],
            cut_windows(baseline[None], places, size=size),
            cut_windows(self.image[None], places, size=size),
        )
        return Windows(values, places)


@dataclass(frozen=True, eq=False)
class FastEnsemble:
    """Several networks taken apart, which answer with the mean of their logits.

    Attributes:
        members: Each over the same temperature.
    """

    members: tuple[FastNetwork, ...]

    def precompute(self, image: Tensor) -> _EnsembleImage:
        """Take one image, (1, height, width), normalised, through each member's first layers."""
        return _EnsembleImage(tuple(one.precompute(image) for one in self.members))


@dataclass(frozen=True, eq=False)
class _EnsembleImage:
    images: tuple[PrecomputedImage, ...]

    @property
    def image(self) -> Tensor:
        return self.images[0].image

    def predict_occluded(self, patches: Sequence[Patch], baseline: Tensor) -> Tensor:
        return torch.stack(
            [image.predict_occluded(patches, baseline) for image in self.images]
        ).mean(dim=0)


def build_fast_network(model: nn.Module) -> FastNetwork | FastEnsemble | None:
    """Take a network apart; None where it has parts that cannot be folded.

    Args:
        model: In evaluation mode.
    """
    network, temperature, shifts = model, 1.0, tuple[float, ...]()
    if isinstance(model, CalibratedNetwork):
        network, temperature, shifts = model.network, model.temperature, model.shifts
    try:
        if isinstance(network, CXResNetEnsemble):
            members = (
                _take_apart(one, temperature=temperature, shifts=shifts) for one in network.networks
            )
            return FastEnsemble(tuple(members))
        if isinstance(network, CXResNet):
            return _take_apart(network, temperature=temperature, shifts=shifts)
    except NotFoldableError as error:
        _logger.debug("Occlusion runs the plain way: %s.", error)
    return None


def _take_apart(network: CXResNet, *, temperature: float, shifts: tuple[float, ...]) -> FastNetwork:
    blocks = [block for stage in network.stages for block in stage.children()]
    first = _take_first_block(blocks[0])
    return FastNetwork(
        stem=_fold_stem(network.stem),
        first=first,
        blocks=tuple(fold_block(block) for block in blocks[0 if first is None else 1 :]),
        head=network.head,
        temperature=temperature,
        shifts=shifts,
    )


def _precompute_steps(steps: Sequence[LocalStep], features: Tensor) -> tuple[PrecomputedLayer, ...]:
    layers: list[PrecomputedLayer] = []
    for step in steps:
        layers.append(step.precompute(features))
        features = layers[-1].out
    return tuple(layers)


def _fold_stem(stem: Stem) -> tuple[LocalStep, ...]:
    steps = []
    for part in stem.children():
        if isinstance(part, ConvNorm):
            steps.append(_build_conv_step(part, relu=True))
        elif isinstance(part, nn.MaxPool2d):
            steps.append(_build_pool_step(part))
        elif isinstance(part, BlurPool):
            steps.append(_build_blur_step(part))
    return tuple(steps)


def _take_first_block(block: nn.Module) -> _GatedBlock | None:
    """Take the first block apart up to its gate, if it has one and keeps its input's shape."""
    fold = describe_fold(block)
    if fold.gate is None or fold.shortcut is None or len(fold.shortcut):
        return None
    branch = []
    for layer, relu in pair_with_relu(fold.branch):
        if not isinstance(layer, ConvNorm):
            return None
        branch.append(_build_conv_step(layer, relu=relu))
    return _GatedBlock(branch=tuple(branch), gate=FoldedGate(fold.gate))


def _build_conv_step(part: ConvNorm, *, relu: bool) -> LocalStep:
    conv = fold_conv(part, relu=relu)
    return LocalStep(
        lambda crops: conv.run(crops, padding=0),
        kernel_px=conv.kernel_px,
        stride=conv.stride,
        before=conv.kernel_px // 2,
    )


def _build_pool_step(pool: nn.MaxPool2d) -> LocalStep:
    kernel, stride = pool.kernel_size, pool.stride
    if not isinstance(kernel, int) or not isinstance(stride, int):
        raise TypeError("the pools of our stems are square")
    # Behind a ReLU nothing is below 0, so that a border of 0 never is the largest.
    return LocalStep(
        lambda crops: functional.max_pool2d(crops, kernel, stride),
        kernel_px=kernel,
        stride=stride,
        before=(kernel - 1) // 2,
    )


def _build_blur_step(blur: BlurPool) -> LocalStep:
    kernel = blur.kernel
    return LocalStep(
        lambda crops: functional.conv2d(crops, kernel, stride=2, groups=len(kernel)),
        kernel_px=3,
        stride=2,
        before=1,
        repeats_edge=True,
    )
