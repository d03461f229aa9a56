"""The ideas that `unseen_variants.py` screens: changes of images, of the network and of the loss.

Each is a small function under its name in a dictionary; to screen another one, add it there. What
a function draws, and in which order, decides the numbers of its variant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.core.config.train import AugmentConfig
from cxresnet.model.blocks import BasicBlock, ConvNorm
from cxresnet.model.resnet import CXResNet
from cxresnet.train.augmentation import Blur, Geometry, apply_augmentation, sample_augmentation

CLASS_NAMES = ("normal", "pneumonia", "covid-19")
NORMAL, PNEUMONIA, COVID = range(3)
WITH_LUNGS = frozenset({"lesion", "paste", "swap", "gradlungs"})
"""What needs to know where the lungs are."""

_LOWEST, _HIGHEST = -2.5, 2.5
_FORBIDDEN = -1e9


@dataclass(frozen=True)
class Batch:
    """Some training images, on their way through the changes.

    Attributes:
        images: (n, 1, side, side), normalised.
        lungs: The same shape, 1 inside the lungs; 0 everywhere if no lungs are known.
        targets: (n, classes), each row sums to 1.
        labels: (n,).
    """

    images: Tensor
    lungs: Tensor
    targets: Tensor
    labels: Tensor

    @property
    def have_lungs(self) -> Tensor:
        """Whether lungs are known, (n, 1, 1, 1)."""
        return self.lungs.amax((1, 2, 3), keepdim=True) > 0

    def move(self, grid: Tensor) -> Batch:
        """Take each pixel from where `grid` says, as `grid_sample` reads it."""
        take = partial(functional.grid_sample, grid=grid, align_corners=False)
        return replace(
            self,
            images=take(self.images, padding_mode="border"),
            lungs=take(self.lungs, padding_mode="zeros"),
        )


# Changes of training images: from the batch and a source of randomness to the changed batch.

Change = Callable[[Batch, torch.Generator], Batch]


def draw(batch: Batch, generator: torch.Generator) -> Tensor:
    """Draw a number between 0 and 1 for each image, (n, 1, 1, 1)."""
    return torch.rand(len(batch.images), 1, 1, 1, generator=generator)


def draw_shares(batch: Batch, generator: torch.Generator) -> Tensor:
    """Draw how far each image is changed, (n, 1, 1, 1): half of them not at all."""
    return draw(batch, generator) * (draw(batch, generator) < 0.5)


def blur(images: Tensor, times: int) -> Tensor:
    """Blur with 1-2-1 across and down, several times."""
    for _ in range(times):
        images = Blur().apply(images, {Blur.name: torch.ones(1)})
    return images


def draw_lesions(batch: Batch, generator: torch.Generator) -> Batch:
    """Draw clouds into the lungs of half the normal images: COVID-19 more if on both sides."""
    (count, _, height, width), rand = batch.images.shape, partial(draw, batch, generator)
    chosen = torch.rand(count, generator=generator) < 0.5
    ill = (chosen & (batch.labels == NORMAL)).view(-1, 1, 1, 1) & batch.have_lungs
    coarse = torch.randn(count, 1, 7, 7, generator=generator)
    cloud = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    cloud = torch.sigmoid((cloud - (rand() * 1.4 - 0.4)) * (2 + 4 * rand()))
    both_sides, on_the_left = rand() < 0.6, rand() < 0.5
    side = both_sides | ((torch.arange(width) < width / 2) == on_the_left)
    opacity = cloud * batch.lungs * side * (0.3 + 0.6 * rand()) * ill
    white = torch.maximum(batch.images, 0.3 + rand())
    both = both_sides.float().flatten()
    shares = torch.stack([0 * both, 0.8 - 0.5 * both, 0.2 + 0.5 * both], dim=1)
    return replace(
        batch,
        images=torch.lerp(batch.images, white, opacity),
        targets=torch.where(ill.view(-1, 1), shares, batch.targets),
    )


def paste_lungs(batch: Batch, generator: torch.Generator) -> Batch:
    """Paste the lungs of half the images over those of another, fitted by their boxes."""
    others = torch.randperm(len(batch.images), generator=generator)
    known = batch.have_lungs & batch.have_lungs[others]
    chosen = known & (torch.rand(len(others), generator=generator) < 0.5).view(-1, 1, 1, 1)
    theta = torch.zeros(len(others), 2, 3)
    for axis, outline in enumerate((batch.lungs.amax((1, 2)), batch.lungs.amax((1, 3)))):
        inside, side = (outline > 0.5).float(), outline.shape[1]
        first, last = inside.argmax(1), side - 1 - inside.flip(1).argmax(1)
        size, centre = last - first + 1, (first + last + 1) / side - 1
        theta[:, axis, axis] = size / size[others]
        theta[:, axis, 2] = centre - theta[:, axis, axis] * centre[others]
    grid = functional.affine_grid(theta, list(batch.images.shape), align_corners=False)
    moved = batch.move(grid)
    pasted = torch.lerp(batch.images[others], moved.images, blur(moved.lungs, 1))
    return replace(
        batch,
        images=torch.where(chosen, pasted, batch.images),
        lungs=torch.where(chosen, moved.lungs, batch.lungs),
    )


def swap_surroundings(batch: Batch, generator: torch.Generator) -> Batch:
    """Put half the lungs into the surroundings of another image, or into their own, faded."""
    others = torch.randperm(len(batch.images), generator=generator)
    chosen = (draw(batch, generator) < 0.5) & batch.have_lungs
    another = draw(batch, generator) < 0.5
    faded = blur(batch.images, 3) * draw(batch, generator) * 0.5
    surroundings = torch.where(another, batch.images[others], faded)
    swapped = torch.lerp(surroundings, batch.images, batch.lungs)
    return replace(batch, images=torch.where(chosen, swapped, batch.images))


def mix_amplitudes(batch: Batch, generator: torch.Generator) -> Batch:
    """Take over a share of the Fourier amplitudes of another image (FACT, Xu 2021)."""
    others = torch.randperm(len(batch.images), generator=generator)
    waves = torch.fft.rfft2(batch.images)
    size = waves.abs()
    mixed = torch.lerp(size, size[others], draw_shares(batch, generator))
    height, width = batch.images.shape[-2:]
    return replace(
        batch, images=torch.fft.irfft2(torch.polar(mixed, waves.angle()), s=(height, width))
    )


def augment(batch: Batch, generator: torch.Generator, *, config: AugmentConfig) -> Batch:
    """Change images as the product does; the lungs move along."""
    changes = sample_augmentation(len(batch.images), config, generator=generator)
    return replace(
        batch,
        images=apply_augmentation(batch.images, changes),
        lungs=Geometry().apply(batch.lungs, changes),
    )


def crop(batch: Batch, generator: torch.Generator) -> Batch:
    """Cut out between 60 % and all of the width, and likewise of the height."""
    size = 1 - torch.rand(len(batch.images), 2, generator=generator) * 0.4
    place = (torch.rand(len(batch.images), 2, generator=generator) * 2 - 1) * (1 - size)
    theta = torch.cat([torch.diag_embed(size), place[:, :, None]], dim=2)
    shape = list(batch.images.shape)
    return batch.move(functional.affine_grid(theta, shape, align_corners=False))


def warp(batch: Batch, generator: torch.Generator) -> Batch:
    """Bend each image by a smooth field of random shifts."""
    count, _, height, width = shape = batch.images.shape
    coarse = torch.randn(count, 2, 4, 4, generator=generator) * 0.06
    shifts = functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    still = functional.affine_grid(
        torch.eye(2, 3).expand(count, 2, 3), list(shape), align_corners=False
    )
    return batch.move(still + shifts.permute(0, 2, 3, 1))


def convolve_randomly(batch: Batch, generator: torch.Generator) -> Batch:
    """Blend in each image convolved with random weights, its contrast kept (Xu 2021)."""
    images = batch.images
    side = (1, 3, 5)[int(torch.randint(3, (1,), generator=generator))]
    weights = torch.randn(len(images), 1, side, side, generator=generator) / side
    padded = functional.pad(images.transpose(0, 1), (side // 2,) * 4, mode="replicate")
    changed = functional.conv2d(padded, weights, groups=len(images)).transpose(0, 1)
    (sd, mean), (old_sd, old_mean) = (
        torch.std_mean(one, dim=(2, 3), keepdim=True) for one in (changed, images)
    )
    changed = (changed - mean) / (sd + 1e-4) * old_sd + old_mean
    changed = changed * (changed * images).mean((2, 3), keepdim=True).sign()
    return replace(batch, images=torch.lerp(images, changed, draw_shares(batch, generator)))


def bend_tones(batch: Batch, generator: torch.Generator) -> Batch:
    """Send the grey levels through a random rising curve of six straight pieces."""
    pieces = 6
    rises = torch.exp(torch.randn(len(batch.images), pieces, generator=generator) * 0.3)
    rises = rises / rises.sum(1, keepdim=True)
    heights = functional.pad(rises.cumsum(1), (1, 0))
    level = ((batch.images - _LOWEST) / (_HIGHEST - _LOWEST)).clamp(0, 1).flatten(1) * pieces
    piece = level.floor().clamp_max(pieces - 1)
    number = piece.long()
    bent = heights.gather(1, number) + (level - piece) * rises.gather(1, number)
    return replace(batch, images=bent.view_as(batch.images) * (_HIGHEST - _LOWEST) + _LOWEST)


def imitate_machine(batch: Batch, generator: torch.Generator) -> Batch:
    """Sharpen or soften each image, then add fine or coarse noise, more where it is bright."""
    strength = 0.6
    soft = blur(batch.images, int(torch.randint(1, 4, (1,), generator=generator)))
    sharpness = (draw(batch, generator) * 2.5 - 1) * strength
    images = batch.images + sharpness * (batch.images - soft)
    noise = torch.randn(images.shape, generator=generator)
    if float(torch.rand(1, generator=generator)) < 0.5:
        noise = blur(noise, 1) * 2
    light = ((images - _LOWEST) / (_HIGHEST - _LOWEST)).clamp(0.05, 1).sqrt()
    return replace(batch, images=images + noise * draw(batch, generator) * 0.25 * strength * light)


BEFORE_AUGMENTATION: dict[str, Change] = {
    "lesion": draw_lesions,
    "paste": paste_lungs,
    "swap": swap_surroundings,
    "fourier": mix_amplitudes,
}
AFTER_AUGMENTATION: dict[str, Change] = {
    "rrc": crop,
    "warp": warp,
    "randconv": convolve_randomly,
    "tone": bend_tones,
    "machine": imitate_machine,
}


# Changes of the network.


class InstanceBatchNorm(nn.Module):
    """Instance norm for half the channels, batch norm for the others (IBN-Net, Pan 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.split_at = width // 2
        self.instance = nn.InstanceNorm2d(self.split_at, affine=True)
        self.batch = nn.BatchNorm2d(width - self.split_at)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        instance, batch = features[:, : self.split_at], features[:, self.split_at :]
        return torch.cat([self.instance(instance), self.batch(batch)], dim=1)


def add_instance_norms(network: CXResNet, _generator: torch.Generator, *, stages: int) -> None:
    """Replace the norms of the stem, and the first ones of the blocks of some stages."""
    layers = [layer for layer in network.stem.children() if isinstance(layer, ConvNorm)]
    for stage in list(network.stages.children())[:stages]:
        layers += [block.conv1 for block in stage.children() if isinstance(block, BasicBlock)]
    for layer in layers:
        layer.norm = InstanceBatchNorm(cast("nn.Conv2d", layer.convolution).out_channels)


def add_mixstyle(network: CXResNet, generator: torch.Generator) -> None:
    """Mix mean and contrast of early maps between images, in half the steps (Zhou 2021)."""

    def mix(module: nn.Module, _inputs: tuple[Tensor, ...], features: Tensor) -> Tensor | None:
        if not module.training or float(torch.rand(1, generator=generator)) > 0.5:
            return None
        mean = features.mean((2, 3), keepdim=True).detach()
        sd = (features.var((2, 3), keepdim=True) + 1e-6).sqrt().detach()
        others = torch.randperm(len(features), generator=generator)
        random = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        own = torch.from_numpy(random.beta(0.1, 0.1, len(features))).float().view(-1, 1, 1, 1)
        new_sd, new_mean = (torch.lerp(one[others], one, own) for one in (sd, mean))
        return (features - mean) / sd * new_sd + new_mean

    for stage in list(network.stages.children())[:2]:
        stage.register_forward_hook(mix)


NETWORK: dict[str, Callable[[CXResNet, torch.Generator], None]] = {
    "ibn": partial(add_instance_norms, stages=0),
    "ibn-deep": partial(add_instance_norms, stages=1),
    "mixstyle": add_mixstyle,
}


# Changes of the loss: what is added to the mean of the losses of a batch.


@dataclass(frozen=True)
class Groups:
    """The pairs of class and source that are learned from.

    Attributes:
        numbers: Of each image's group, (images,); -1 for one that is not learned from.
        classes: Of each group, (groups,).
        weights: Of each group, (groups,), for "dro", which moves them from step to step.
    """

    numbers: Tensor
    classes: Tensor
    weights: Tensor


def build_source_head(width: int, groups: Groups) -> nn.Module:
    """Build what guesses the group from the features, for "adversary"."""
    return nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, len(groups.classes)))


@dataclass(frozen=True)
class Answer:
    """What the network says of a batch.

    Attributes:
        batch: As the network saw it.
        pooled: Features, (n, width).
        logits: (n, classes).
    """

    batch: Batch
    pooled: Tensor
    logits: Tensor

    @property
    def losses(self) -> Tensor:
        """The cross-entropy of each image, (n,)."""
        return -(self.batch.targets * functional.log_softmax(self.logits, dim=1)).sum(1)


@dataclass(frozen=True)
class Step:
    """One step of training.

    Attributes:
        answer: Of the network, on the changed images.
        answer_again: Changes the same images anew, and answers.
        numbers: Of each image's group, (n,).
        groups: All groups.
        source_head: Guesses the group from the features.
        ramp: Climbs from 0 to 1 in the first part of training.
    """

    answer: Answer
    answer_again: Callable[[], Answer]
    numbers: Tensor
    groups: Groups
    source_head: nn.Module
    ramp: float

    def average(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Average over each group; returns the groups that are here, and their means."""
        present = torch.unique(self.numbers)
        return present, torch.stack([values[self.numbers == one].mean(0) for one in present])


def weigh_worst_groups(step: Step) -> Tensor:
    """Weigh groups more the worse they are (group DRO, Sagawa 2020)."""
    present, means = step.average(step.answer.losses)
    with torch.no_grad():
        step.groups.weights[present] *= torch.exp(0.02 * means)
        step.groups.weights.div_(step.groups.weights.sum())
    weights = step.groups.weights[present]
    return (weights / weights.sum() * means).sum() - step.answer.losses.mean()


def even_out_losses(step: Step) -> Tensor:
    """Punish losses that differ between groups (V-REx, Krueger 2021)."""
    _, means = step.average(step.answer.losses)
    return means.mean() + step.ramp * means.var() - step.answer.losses.mean()


def align_means(step: Step) -> Tensor:
    """Punish features of a class whose means differ between sources (after CORAL, Sun 2016)."""
    present, means = step.average(step.answer.pooled)
    classes = step.groups.classes[present]
    several = [one for one in torch.unique(classes) if (classes == one).sum() > 1]
    return sum((means[classes == one].var(0).mean() for one in several), torch.zeros(()))


def hide_sources(step: Step) -> Tensor:
    """Let a head guess the source within the class, and unlearn what helps it (Ganin 2016)."""
    reversed_gradient = 2 * step.answer.pooled.detach() - step.answer.pooled
    other_class = step.groups.classes != step.answer.batch.labels[:, None]
    guesses = step.source_head(reversed_gradient).masked_fill(other_class, _FORBIDDEN)
    return 0.3 * step.ramp * functional.cross_entropy(guesses, step.numbers)


def demand_consistency(step: Step) -> Tensor:
    """Punish answers that differ between two changes of an image (Jensen-Shannon)."""
    first, second = step.answer, step.answer_again()
    one, other = first.logits.softmax(1), second.logits.softmax(1)
    middle = ((one + other) / 2).clamp_min(1e-6).log()
    divergence = partial(functional.kl_div, middle, reduction="batchmean")
    other_loss = (second.losses.mean() - first.losses.mean()) / 2
    return other_loss + divergence(one) + divergence(other)


def keep_inside_lungs(step: Step) -> Tensor:
    """Punish input gradients outside the lungs (Ross 2017; ISNet does it with relevance)."""
    (gradient,) = torch.autograd.grad(
        step.answer.losses.sum(), step.answer.batch.images, create_graph=True
    )
    power = gradient.pow(2)
    outside = (power * (1 - step.answer.batch.lungs)).sum((1, 2, 3)) / (power.sum((1, 2, 3)) + 1e-8)
    return 0.5 * (outside * step.answer.batch.have_lungs.flatten()).mean()


LOSS: dict[str, Callable[[Step], Tensor]] = {
    "dro": weigh_worst_groups,
    "vrex": even_out_losses,
    "coral": align_means,
    "adversary": hide_sources,
    "consistency": demand_consistency,
    "gradlungs": keep_inside_lungs,
}
