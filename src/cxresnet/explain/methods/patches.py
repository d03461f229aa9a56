"""The grid of patches of occlusion, from values back to a map, and what a patch is filled with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cxresnet.core.config.explain import OcclusionBaselineName
from cxresnet.explain.methods.method import GREY, GREY_DESCRIPTION


@dataclass(frozen=True)
class Patch:
    """A rectangle of the image that is covered.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Grid:
    """Patches in rows and columns, the last ones cut at the image's edge.

    Attributes:
        rows: Rows of patches.
        columns: Columns of patches.
        patches: Row by row.
        height: Of the image.
        width: Of the image.
    """

    rows: int
    columns: int
    patches: tuple[Patch, ...]
    height: int
    width: int


def build_grid(height: int, width: int, *, window_px: int, stride_px: int) -> Grid:
    """Build the grid that Captum's `Occlusion` walks: the last patch reaches over the edge.

    Args:
        height: Of the image.
        width: Of the image.
        window_px: Side of the patch.
        stride_px: Step, at most `window_px`.
    """
    tops, lefts = (
        range(0, max(0, side - window_px) + stride_px, stride_px) if side > window_px else range(1)
        for side in (height, width)
    )
    patches = tuple(
        Patch(top, left, min(window_px, height - top), min(window_px, width - left))
        for top in tops
        for left in lefts
    )
    return Grid(len(tops), len(lefts), patches, height, width)


def paint_patches(grid: Grid, values: Tensor) -> Tensor:
    """Paint each patch with its value; a pixel's is the mean over the patches that cover it.

    Args:
        grid: Of the image.
        values: (patches,).

    Returns:
        (height, width), float32.
    """
    total = torch.zeros((grid.height, grid.width), dtype=torch.float64, device=values.device)
    count = torch.zeros_like(total)
    for patch, value in zip(grid.patches, values.double(), strict=True):
        down = slice(patch.top, patch.top + patch.height)
        right = slice(patch.left, patch.left + patch.width)
        total[down, right] += value
        count[down, right] += 1
    return (total / count).to(torch.float32)


def measure_coarse_to_fine(
    grid: Grid, measure: Callable[[Sequence[Patch]], Tensor], *, min_share: float = 0.1
) -> Tensor:
    """Measure every second patch, then those in between only where the effect is large.

    A patch in between is measured if one of its measured neighbours has at least `min_share` of the
    largest value of all; otherwise it is interpolated. Patches usually overlap by half, so that the
    content of a skipped patch also lies partly in its neighbours.

    Args:
        grid: Of the image.
        measure: From patches to their values, (patches,).
        min_share: As a share of the largest value; 0 measures everything.

    Returns:
        (patches,), in the order of the grid.
    """
    down, right = _build_interpolation(grid.rows), _build_interpolation(grid.columns)
    numbers = torch.arange(grid.rows * grid.columns).reshape(grid.rows, grid.columns)
    coarse = numbers[_list_coarse(grid.rows)][:, _list_coarse(grid.columns)]
    known = measure([grid.patches[number] for number in coarse.flatten().tolist()])
    table = known.double().cpu().reshape(coarse.shape)
    values = (down @ table @ right.T).flatten()
    strong = (table.abs() >= min_share * table.abs().max()).double()
    near = ((down > 0).double() @ strong @ (right > 0).double().T).flatten() > 0
    near[coarse.flatten()] = False
    rest = torch.nonzero(near).flatten().tolist()
    if rest:
        values[rest] = measure([grid.patches[number] for number in rest]).double().cpu()
    return values.to(known.device)


def _list_coarse(count: int) -> list[int]:
    """List every second number, and the last one: both edges of the image are measured."""
    return sorted({*range(0, count, 2), count - 1})


def _build_interpolation(count: int) -> Tensor:
    """Build (count, coarse), float64: the weight of each measured value at each place."""
    coarse = _list_coarse(count)
    weights = torch.zeros(count, len(coarse), dtype=torch.float64)
    for column, place in enumerate(coarse):
        weights[place, column] = 1
    for place in sorted(set(range(count)) - set(coarse)):
        # Only odd numbers are left out, and each has both neighbours.
        weights[place, coarse.index(place - 1)] = weights[place, coarse.index(place + 1)] = 0.5
    return weights


# No occlusion baseline is neutral: a uniform grey adds an edge, and in a dark lung an opacity; a
# blur keeps the coarse structure; noise may look like texture. A grey opening estimates the image
# without the opacity, and points at drawn lesions best (docs/experiments.md). It cannot remove
# what is dark, such as air beside a lung.

BASELINE_DESCRIPTIONS: dict[OcclusionBaselineName, str] = {
    "clear": "the image after a grey opening that removes bright structures smaller than the patch",
    "blur": "the blurred image",
    "mean": GREY_DESCRIPTION,
    "noise": "noise with the mean and standard deviation of the training images",
}
"""What each baseline is, to stand behind "filled with"."""

_OPENING = 3 / 4
"""Side of the grey opening, in sides of the patch; see docs/experiments.md for others."""

_BLUR_SD = 1 / 4
"""Standard deviation of the blur, in sides of the patch. More blur leaks grey from around the lungs
into them, and then localises less well (docs/experiments.md)."""


def build_occlusion_baseline(
    name: OcclusionBaselineName, image: Tensor, *, window_px: int, seed: int
) -> Tensor:
    """Build the image that covered patches are filled from.

    Args:
        name: "clear": the image after a grey opening, which removes what is bright and narrower
            than three quarters of the patch, then blurred. "blur": the image, blurred so far that
            little of half a patch's size is left. "mean": `GREY`. "noise": normal, SD 1 as of the
            training images.
        image: (1, height, width), normalised.
        window_px: Side of the patch.
        seed: Of the noise.

    Returns:
        (1, height, width).
    """
    if name == "mean":
        return torch.full_like(image, GREY)
    if name == "noise":
        # Drawn on the CPU, so that it is the same on every device.
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(image.shape, generator=generator).to(image.device) + GREY
    array = image[0].cpu().numpy()
    changed = _blur(_clear(array, window_px) if name == "clear" else array, window_px)
    return torch.from_numpy(changed)[None].to(image.device)


def _clear(array: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
    side_px = max(3, round(window_px * _OPENING))
    opened: NDArray[np.float32] = ndimage.grey_opening(array, size=(side_px, side_px))
    return opened


def _blur(array: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        array, window_px * _BLUR_SD, mode="nearest"
    )
    return blurred
