"""Ask one network about one film many times, a patch of it covered each time, and do no work twice.

The film as it is goes through stem and first block once. Of a covered film only the windows that
the patch can reach are computed there (`local.py`), up to the gate of the first block: squeeze and
excitation weighs channels by their mean over the whole map, so that from there on every place
changes a little. The gate's means are brought up to date exactly, from the window alone. The rest
runs whole, folded (`folded.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.explain.calibrated import CalibratedNetwork, calibrate_logits
from cxresnet.explain.folded import FoldedBlock, FoldedGate, can_fold, fold_block, fold_conv
from cxresnet.explain.local import (
    LocalStep,
    RememberedLayer,
    Windows,
    cut_windows,
    grow_windows,
    lay_in,
)
from cxresnet.explain.patches import Patch
from cxresnet.model.blocks import BasicBlock, ConvNorm
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.layers import BlurPool, SqueezeExcite
from cxresnet.model.resnet import CXResNet, Stem

__all__ = ["FastEnsemble", "FastNetwork", "RememberedFilm", "build_fast_network"]

_BATCH = 32
"""Films at once: the maps of so many still lie in the cache of a common processor."""


@dataclass(frozen=True, eq=False)
class _GatedBlock:
    """The first block, up to its gate window by window.

    Attributes:
        branch: Its two convolutions.
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

    def remember(self, image: Tensor) -> RememberedFilm:
        """Take one film, (1, height, width), normalised, through the first layers."""
        features = image[None].contiguous(memory_format=torch.channels_last)
        stem = _remember_steps(self.stem, features)
        if self.first is None:
            return RememberedFilm(self, image, stem=stem, branch=())
        return RememberedFilm(
            self, image, stem=stem, branch=_remember_steps(self.first.branch, stem[-1].out)
        )

    def finish(self, features: Tensor) -> Tensor:
        """Compute logits, (batch, class), from what the first layers gave."""
        for block in self.blocks:
            features = block(features)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return calibrate_logits(logits, temperature=self.temperature, shifts=self.shifts)


@dataclass(frozen=True, eq=False)
class RememberedFilm:
    """One film, and what the first layers made of it.

    Attributes:
        network: Of the maps.
        image: (1, height, width).
        stem: Layer by layer.
        branch: Of the first block, layer by layer; empty where it runs whole.
    """

    network: FastNetwork
    image: Tensor
    stem: tuple[RememberedLayer, ...]
    branch: tuple[RememberedLayer, ...]

    def ask(self, patches: Sequence[Patch], cover: Tensor) -> Tensor:
        """Compute the logits of the film with each patch covered in turn.

        Args:
            patches: Inside of the film.
            cover: (1, height, width): what stands in a patch when it is covered.

        Returns:
            (patches, class).
        """
        logits = [
            self.network.finish(self._start(patches[first : first + _BATCH], cover))
            for first in range(0, len(patches), _BATCH)
        ]
        return torch.cat(logits)

    def _start(self, patches: Sequence[Patch], cover: Tensor) -> Tensor:
        """Take covered films through the first layers: (batch, channel, h, w)."""
        windows = self._cover(patches, cover)
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
        size = (branch.values.shape[2], branch.values.shape[3])
        inputs = cut_windows(whole_input, branch.places, size=size)
        for crop, value, place, corner in zip(
            inputs, windows.values, windows.places, branch.places, strict=True
        ):
            lay_in(crop, value, place=(place[0] - corner[0], place[1] - corner[1]))
        changed = torch.addcmul(inputs, branch.values, weights)
        Windows(changed, branch.places).paste_into(out)
        return out.relu_()

    def _cover(self, patches: Sequence[Patch], cover: Tensor) -> Windows:
        """Cut out of the film a window around each patch, the patch covered."""
        height = max(patch.height for patch in patches)
        width = max(patch.width for patch in patches)
        rows, columns = self.image.shape[1:]
        places = tuple(
            (min(patch.top, rows - height), min(patch.left, columns - width)) for patch in patches
        )
        values = cut_windows(self.image[None], places, size=(height, width))
        for value, patch, (row, column) in zip(values, patches, places, strict=True):
            down = slice(patch.top, patch.top + patch.height)
            right = slice(patch.left, patch.left + patch.width)
            lay_in(value, cover[:, down, right], place=(patch.top - row, patch.left - column))
        return Windows(values, places)


@dataclass(frozen=True, eq=False)
class FastEnsemble:
    """Several networks taken apart, which answer with the mean of their logits.

    Attributes:
        members: Each over the same temperature.
    """

    members: tuple[FastNetwork, ...]

    def remember(self, image: Tensor) -> _FilmOfEnsemble:
        """Take one film, (1, height, width), normalised, through each member's first layers."""
        return _FilmOfEnsemble(tuple(one.remember(image) for one in self.members))


@dataclass(frozen=True, eq=False)
class _FilmOfEnsemble:
    films: tuple[RememberedFilm, ...]

    @property
    def image(self) -> Tensor:
        return self.films[0].image

    def ask(self, patches: Sequence[Patch], cover: Tensor) -> Tensor:
        return torch.stack([film.ask(patches, cover) for film in self.films]).mean(dim=0)


def build_fast_network(model: nn.Module) -> FastNetwork | FastEnsemble | None:
    """Take a network apart; None where it has parts that are not known here.

    Args:
        model: In evaluation mode.
    """
    network, temperature, shifts = model, 1.0, tuple[float, ...]()
    if isinstance(model, CalibratedNetwork):
        network, temperature, shifts = model.network, model.temperature, model.shifts
    if isinstance(network, CXResNetEnsemble) and all(map(can_fold, network.networks)):
        members = (
            _take_apart(one, temperature=temperature, shifts=shifts) for one in network.networks
        )
        return FastEnsemble(tuple(members))
    if isinstance(network, CXResNet) and can_fold(network):
        return _take_apart(network, temperature=temperature, shifts=shifts)
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


def _remember_steps(steps: Sequence[LocalStep], features: Tensor) -> tuple[RememberedLayer, ...]:
    layers: list[RememberedLayer] = []
    for step in steps:
        layers.append(step.remember(features))
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
    if not isinstance(block, BasicBlock) or len(block.shortcut):
        return None
    if not isinstance(block.squeeze_excite, SqueezeExcite):
        return None
    branch = (_build_conv_step(block.conv1, relu=True), _build_conv_step(block.conv2, relu=False))
    return _GatedBlock(branch=branch, gate=FoldedGate(block.squeeze_excite))


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
