"""Augmentation of training images: changes as between days, devices and patients.

First the parameters of every image of a batch are drawn (`sample_augmentation`), then all images
are changed at once (`apply_augmentation`): one resampling, a few multiplications, no loop over
images. To add an augmentation, write a subclass of `Augmentation`, put `@register_augmentation`
above it, and add its strength to `AugmentConfig`. Plain PyTorch, because it is faster here than
Kornia; `benchmarks/augment.py` measures by how much.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from cxresnet.core.config.train import AugmentConfig

AugmentationParameters = dict[str, Tensor]
"""From the name of an augmentation to its parameters, (batch, …)."""

_LOWEST, _HIGHEST = -3.0, 3.0
"""The grey levels between which a tone curve is drawn, in standard deviations of the images."""


@dataclass(frozen=True)
class RandomDraws:
    """Draws random numbers for the images of a batch, on the CPU.

    Attributes:
        count: Images in the batch.
        generator: The same state gives the same numbers.
    """

    count: int
    generator: torch.Generator

    def draw_both_ways(self, most: float) -> Tensor:
        """Draw evenly between -`most` and `most`, (batch,)."""
        return (torch.rand(self.count, generator=self.generator) * 2 - 1) * most

    def draw_up_to(self, most: float) -> Tensor:
        """Draw evenly between 0 and `most`, (batch, 1, 1, 1)."""
        return (torch.rand(self.count, generator=self.generator) * most).view(-1, 1, 1, 1)

    def draw_sign(self) -> Tensor:
        """Draw -1 or 1, (batch,)."""
        return torch.where(torch.rand(self.count, generator=self.generator) < 0.5, -1.0, 1.0)

    def draw_seed(self) -> Tensor:
        """Draw one seed for the whole batch, (batch,), int64."""
        return torch.randint(2**31, (1,), generator=self.generator).expand(self.count).clone()


class Augmentation(ABC):
    """One way to change images.

    Attributes:
        name: Of its parameters.
        order: When it is applied; parameters are drawn in the order of registration instead.
    """

    name: ClassVar[str]
    order: ClassVar[int]

    @abstractmethod
    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the parameters of each image, (batch, …)."""

    @abstractmethod
    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Change images, (batch, 1, height, width); may work in place except for `order` 0.

        Args:
            images: Normalised: mean 0, standard deviation 1 over all images.
            parameters: Of all augmentations, on the device of the images.
        """


_AUGMENTATIONS: dict[str, Augmentation] = {}


def register_augmentation(augmentation: type[Augmentation]) -> type[Augmentation]:
    """Register an augmentation behind those that are there, so that their draws stay the same."""
    _AUGMENTATIONS[augmentation.name] = augmentation()
    return augmentation


def sample_augmentation(
    count: int, config: AugmentConfig, *, generator: torch.Generator
) -> AugmentationParameters:
    """Draw how each of `count` images is changed.

    Args:
        count: Images in the batch.
        config: How far each change may go.
        generator: Source of all randomness, on the CPU; the same state gives the same changes.

    Returns:
        The parameters of every augmentation, on the CPU.
    """
    draws = RandomDraws(count, generator)
    return {name: one.sample(draws, config) for name, one in _AUGMENTATIONS.items()}


def apply_augmentation(images: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Change a batch of images.

    Args:
        images: (batch, 1, height, width), normalised: mean 0, standard deviation 1 over all images.
        parameters: One entry for each image; moved to the device of the images.

    Returns:
        New images of the same shape; the given ones are not changed.
    """
    there = {name: values.to(images.device) for name, values in parameters.items()}
    for augmentation in sorted(_AUGMENTATIONS.values(), key=lambda one: one.order):
        images = augmentation.apply(images, there)
    return images


@register_augmentation
class Geometry(Augmentation):
    """Rotate, scale, shift and perhaps mirror, in one resampling; makes the new images.

    Its parameters are (batch, 2, 3): where each pixel is taken from, as `affine_grid` reads it.
    """

    name = "geometry"
    order = 0

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw angle, scale, shifts and, on request, the aspect and the side."""
        angle = draws.draw_both_ways(math.radians(config.rotation_degrees))
        zoom = 1 + draws.draw_both_ways(config.scale_share)
        stretch = torch.ones(draws.count)
        if config.aspect_share > 0:
            # Drawn only on request, so that older configs keep their random numbers.
            stretch = torch.exp(draws.draw_both_ways(math.log1p(config.aspect_share)))
        # An image is two units wide for `affine_grid`, from -1 to 1.
        across, down = (draws.draw_both_ways(2 * config.shift_share) for _ in range(2))
        side = draws.draw_sign() if config.horizontal_flip else torch.ones(draws.count)
        cosine, sine = zoom * angle.cos(), zoom * angle.sin()
        rows = [
            torch.stack([side * cosine * stretch, -sine * stretch, across], dim=1),
            torch.stack([side * sine / stretch, cosine / stretch, down], dim=1),
        ]
        return torch.stack(rows, dim=1)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Resample; what lies outside of the image repeats its edge."""
        grid = _build_grid(parameters[self.name], height=images.shape[2], width=images.shape[3])
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


@register_augmentation
class Contrast(Augmentation):
    """Multiply by a factor."""

    name = "contrast"
    order = 3

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the factors, (batch, 1, 1, 1)."""
        return (1 + draws.draw_both_ways(config.contrast)).view(-1, 1, 1, 1)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Multiply."""
        return images.mul_(parameters[self.name])


@register_augmentation
class Brightness(Augmentation):
    """Add a grey level, in standard deviations of the images."""

    name = "brightness"
    order = 4

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the summands, (batch, 1, 1, 1)."""
        return draws.draw_both_ways(config.brightness).view(-1, 1, 1, 1)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Add."""
        return images.add_(parameters[self.name])


@register_augmentation
class Gamma(Augmentation):
    """Change the tone curve by an exponent."""

    name = "gamma"
    order = 2

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the exponents, (batch, 1, 1, 1)."""
        return torch.exp(draws.draw_both_ways(math.log1p(config.gamma))).view(-1, 1, 1, 1)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Change the tone between `_LOWEST` and `_HIGHEST`, and clip the rest."""
        exponents = parameters[self.name]
        if not bool((exponents != 1).any()):
            return images
        share = ((images - _LOWEST) / (_HIGHEST - _LOWEST)).clamp_(0, 1)
        return share.pow_(exponents).mul_(_HIGHEST - _LOWEST).add_(_LOWEST)


@register_augmentation
class Blur(Augmentation):
    """Mix in an image blurred with 1-2-1 across and down."""

    name = "blur"
    order = 1

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the shares of the blurred image, (batch, 1, 1, 1)."""
        return draws.draw_up_to(config.blur)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Mix; the edge is repeated outwards."""
        share = parameters[self.name]
        return torch.lerp(images, _blur(images), share) if bool((share > 0).any()) else images


@register_augmentation
class Noise(Augmentation):
    """Add noise whose standard deviation is given in those of the images."""

    name = "noise"
    order = 5

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the standard deviations, (batch, 1, 1, 1)."""
        return draws.draw_up_to(config.noise)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Add; the noise is drawn on the CPU, so that it is the same on every device."""
        strength = parameters[self.name]
        if not bool((strength > 0).any()):
            return images
        generator = torch.Generator().manual_seed(int(parameters[NoiseSeed.name][0]))
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        return images.addcmul_(noise, strength)


@register_augmentation
class Frame(Augmentation):
    """Erase a frame along the border, by grey: writing in a corner is not always there."""

    name = "frame"
    order = 6

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:
        """Draw the widths as shares of the side, (batch, 1, 1, 1)."""
        return draws.draw_up_to(config.border_erase_share)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Erase; 0 is the mean grey of all images."""
        width = parameters[self.name]
        return images.mul_(_draw_window(images, width)) if bool((width > 0).any()) else images


@register_augmentation
class NoiseSeed(Augmentation):
    """Draws the seed of `Noise`; changes nothing itself."""

    name = "noise_seed"
    order = 7

    def sample(self, draws: RandomDraws, config: AugmentConfig) -> Tensor:  # noqa: ARG002
        """Draw one seed for the batch, (batch,)."""
        return draws.draw_seed()

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Leave images as they are."""
        return images


def _build_grid(geometry: Tensor, *, height: int, width: int) -> Tensor:
    """Do what `affine_grid` does, by sums instead of a product of matrices: a tenth of the time."""
    across = _place_centres(width, like=geometry)
    down = _place_centres(height, like=geometry)[:, None]
    factors = geometry[:, :, :, None, None]
    grid = geometry.new_empty(len(geometry), height, width, 2)
    for axis in (0, 1):
        first, second, shift = factors[:, axis].unbind(1)
        torch.add(first * across, second * down + shift, out=grid[..., axis])
    return grid


def _place_centres(count: int, *, like: Tensor) -> Tensor:
    """Place the centres of pixels on the scale -1 to 1, whose ends are the edges of the image."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1


def _blur(images: Tensor) -> Tensor:
    """Blur with 1-2-1 across and down; the edge is repeated."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., :-2] + padded[..., 2:] + 2 * padded[..., 1:-1]
    return (across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]) / 16


def _draw_window(images: Tensor, frame: Tensor) -> Tensor:
    """Draw 1 inside and 0 on the frame; 0 is the mean grey of all images."""
    height, width = images.shape[-2:]
    rows = torch.linspace(0.5 / height, 1 - 0.5 / height, height, device=images.device)
    columns = torch.linspace(0.5 / width, 1 - 0.5 / width, width, device=images.device)
    down = torch.minimum(rows, 1 - rows).view(1, 1, -1, 1) >= frame
    across = torch.minimum(columns, 1 - columns).view(1, 1, 1, -1) >= frame
    return (down & across).to(images.dtype)
