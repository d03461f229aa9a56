"""The grid of patches that cover a film one after the other, and the way back to a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Grid", "Patch", "build_grid", "measure_coarse_to_fine", "paint_patches"]


@dataclass(frozen=True)
class Patch:
    """A part of the film that is covered.

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
    """Patches in rows and columns, the last ones cut at the film's edge.

    Attributes:
        rows: Rows of patches.
        columns: Columns of patches.
        patches: Row by row.
        height: Of the film.
        width: Of the film.
    """

    rows: int
    columns: int
    patches: tuple[Patch, ...]
    height: int
    width: int


def build_grid(height: int, width: int, *, window_px: int, stride_px: int) -> Grid:
    """Build the grid that Captum's `Occlusion` walks: the last patch reaches over the edge.

    Args:
        height: Of the film.
        width: Of the film.
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
        grid: Of the film.
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
    grid: Grid, measure: Callable[[Sequence[Patch]], Tensor], *, worth: float = 0.1
) -> Tensor:
    """Measure every second patch, then only those in between where something is to be seen.

    A patch in between is measured if one of its measured neighbours has at least `worth` of the
    largest value of all; otherwise it is interpolated. Patches overlap by half as a rule, so that
    what lies in a skipped patch also lies, in part, in its neighbours.

    Args:
        grid: Of the film.
        measure: From patches to their values, (patches,).
        worth: As a share of the largest value; 0 measures everything.

    Returns:
        (patches,), in the order of the grid.
    """
    down, right = _build_interpolation(grid.rows), _build_interpolation(grid.columns)
    numbers = torch.arange(grid.rows * grid.columns).reshape(grid.rows, grid.columns)
    coarse = numbers[_list_coarse(grid.rows)][:, _list_coarse(grid.columns)]
    known = measure([grid.patches[number] for number in coarse.flatten().tolist()])
    table = known.double().cpu().reshape(coarse.shape)
    values = (down @ table @ right.T).flatten()
    strong = (table.abs() >= worth * table.abs().max()).double()
    near = ((down > 0).double() @ strong @ (right > 0).double().T).flatten() > 0
    near[coarse.flatten()] = False
    rest = torch.nonzero(near).flatten().tolist()
    if rest:
        values[rest] = measure([grid.patches[number] for number in rest]).double().cpu()
    return values.to(known.device)


def _list_coarse(count: int) -> list[int]:
    """List every second number, and the last one: both edges of the film are measured."""
    return sorted({*range(0, count, 2), count - 1})


def _build_interpolation(count: int) -> Tensor:
    """Build (count, coarse), float64: what of the measured values each place takes."""
    coarse = _list_coarse(count)
    weights = torch.zeros(count, len(coarse), dtype=torch.float64)
    for column, place in enumerate(coarse):
        weights[place, column] = 1
    for place in sorted(set(range(count)) - set(coarse)):
        # Only odd numbers are left out, and each has both neighbours.
        weights[place, coarse.index(place - 1)] = weights[place, coarse.index(place + 1)] = 0.5
    return weights
