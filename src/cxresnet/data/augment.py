"""Change training films as another day, another machine and another patient would.

First it is decided what happens to each film of a batch (`sample_changes`), then it is done to all
of them at once (`apply_changes`): one resampling, a few multiplications, no loop over films. Plain
PyTorch, because it is faster here than Kornia; `benchmarks/augment.py` says by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxresnet.core.config.train import AugmentConfig

__all__ = ["Changes", "apply_changes", "sample_changes"]

_LOWEST, _HIGHEST = -3.0, 3.0
"""The grey levels between which a tone curve is drawn, in standard deviations of the films."""


@dataclass(frozen=True)
class Changes:
    """What happens to each film of a batch.

    Attributes:
        geometry: Where each pixel is taken from, (batch, 2, 3), as `affine_grid` wants it.
        contrast: Factors, (batch, 1, 1, 1).
        brightness: Summands in standard deviations of the films, (batch, 1, 1, 1).
        gamma: Exponents of the tone curve, (batch, 1, 1, 1).
        blur: Shares of the blurred film, (batch, 1, 1, 1).
        noise: Standard deviations of the noise, (batch, 1, 1, 1).
        frame: Width of the erased frame as a share of the side, (batch, 1, 1, 1).
        noise_seed: Of the noise itself.
    """

    geometry: Tensor
    contrast: Tensor
    brightness: Tensor
    gamma: Tensor
    blur: Tensor
    noise: Tensor
    frame: Tensor
    noise_seed: int


def sample_changes(count: int, config: AugmentConfig, *, generator: torch.Generator) -> Changes:
    """Decide what happens to each of `count` films.

    Args:
        count: Films in the batch.
        config: How far each change may go.
        generator: Source of all chance, on the CPU; the same state gives the same changes.

    Returns:
        The changes, on the CPU.
    """

    def draw(most: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * most

    def draw_share(most: float) -> Tensor:
        return (torch.rand(count, generator=generator) * most).view(-1, 1, 1, 1)

    angle = draw(math.radians(config.rotation_degrees))
    zoom = 1 + draw(config.scale_share)
    # A film is two units wide for `affine_grid`, from -1 to 1.
    across, down = draw(2 * config.shift_share), draw(2 * config.shift_share)
    side = torch.ones(count)
    if config.horizontal_flip:
        side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    geometry = torch.stack(
        [
            torch.stack([side * cosine, -sine, across], dim=1),
            torch.stack([side * sine, cosine, down], dim=1),
        ],
        dim=1,
    )
    return Changes(
        geometry=geometry,
        contrast=(1 + draw(config.contrast)).view(-1, 1, 1, 1),
        brightness=draw(config.brightness).view(-1, 1, 1, 1),
        gamma=torch.exp(draw(math.log1p(config.gamma))).view(-1, 1, 1, 1),
        blur=draw_share(config.blur),
        noise=draw_share(config.noise),
        frame=draw_share(config.border_erase_share),
        noise_seed=int(torch.randint(2**31, (1,), generator=generator)),
    )


def apply_changes(images: Tensor, changes: Changes) -> Tensor:
    """Change a batch of films.

    Args:
        images: (batch, 1, height, width), normalised: mean 0, standard deviation 1 over all films.
        changes: One entry a film; moved to the device of the images.

    Returns:
        New images of the same shape; the given ones stay as they are.
    """
    device = images.device
    grid = _build_grid(changes.geometry.to(device), height=images.shape[2], width=images.shape[3])
    changed = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if bool((changes.blur > 0).any()):
        changed = torch.lerp(changed, _blur(changed), changes.blur.to(device))
    if bool((changes.gamma != 1).any()):
        changed = _bend_tone(changed, changes.gamma.to(device))
    changed = changed.mul_(changes.contrast.to(device)).add_(changes.brightness.to(device))
    if bool((changes.noise > 0).any()):
        generator = torch.Generator().manual_seed(changes.noise_seed)
        grain = torch.randn(images.shape, generator=generator).to(device)
        changed.addcmul_(grain, changes.noise.to(device))
    if bool((changes.frame > 0).any()):
        changed.mul_(_draw_window(images, changes.frame.to(device)))
    return changed


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
    """Place the centres of pixels on the scale -1 to 1, whose ends are the edges of the film."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1


def _blur(images: Tensor) -> Tensor:
    """Blur with 1-2-1 across and down; the edge is repeated."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., :-2] + padded[..., 2:] + 2 * padded[..., 1:-1]
    return (across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]) / 16


def _bend_tone(images: Tensor, gamma: Tensor) -> Tensor:
    share = ((images - _LOWEST) / (_HIGHEST - _LOWEST)).clamp_(0, 1)
    return share.pow_(gamma).mul_(_HIGHEST - _LOWEST).add_(_LOWEST)


def _draw_window(images: Tensor, frame: Tensor) -> Tensor:
    """Draw 1 inside and 0 on the frame; 0 is the mean grey of all films."""
    height, width = images.shape[-2:]
    rows = torch.linspace(0.5 / height, 1 - 0.5 / height, height, device=images.device)
    columns = torch.linspace(0.5 / width, 1 - 0.5 / width, width, device=images.device)
    down = torch.minimum(rows, 1 - rows).view(1, 1, -1, 1) >= frame
    across = torch.minimum(columns, 1 - columns).view(1, 1, 1, -1) >= frame
    return (down & across).to(images.dtype)
