"""Regions of a film: zones of the lungs, and superpixels. Each pixel lies in exactly one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.zones import split_lungs

__all__ = ["LUNG_REGION_NAMES", "compute_lung_regions", "compute_superpixels"]

LUNG_REGION_NAMES = (
    "outside of the lungs",
    "right upper zone",
    "right middle zone",
    "right lower zone",
    "left upper zone",
    "left middle zone",
    "left lower zone",
)
"""Sides are the patient's: the right lung lies at the left of the film."""

_GRID_TOP, _GRID_BOTTOM = 0.12, 0.78
_GRID_SIDES = ((0.10, 0.47), (0.53, 0.90))
"""Where lungs lie on a frontal film that is filled by the chest, as shares of its side."""

_ROUNDS = 8


def compute_lung_regions(lung_mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number each pixel by its region of `LUNG_REGION_NAMES`.

    Each lung is cut into thirds of its own height. Where no lung is known, two boxes stand for
    them: an anatomical grid, the same for every film.

    Args:
        lung_mask: (row, column), true in the lungs; empty where not known.

    Returns:
        (row, column), 0 to 6.
    """
    mask = lung_mask if lung_mask.any() else _draw_grid(lung_mask.shape)
    rows = np.indices((mask.shape[0], mask.shape[1]))[0]
    regions: NDArray[np.int64] = np.zeros(mask.shape, np.int64)
    for first, lung in zip((1, 4), split_lungs(mask.astype(np.uint8)), strict=True):
        if not lung.any():
            continue
        top, bottom = rows[lung].min(), rows[lung].max() + 1
        third = np.clip((rows - top) * 3 // (bottom - top), 0, 2)
        regions[lung] = first + third[lung]
    return regions


def _draw_grid(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = shape
    mask = np.zeros(shape, np.bool_)
    for left, right in _GRID_SIDES:
        mask[
            round(_GRID_TOP * height) : round(_GRID_BOTTOM * height),
            round(left * width) : round(right * width),
        ] = True
    return mask


def compute_superpixels(
    film: NDArray[np.float32], *, along_side: int, compactness: float
) -> NDArray[np.int64]:
    """Cut a film into pieces of like grey, about `along_side` × `along_side` of them.

    Starts from a square grid; in each round every pixel goes to the nearest of the centres around
    it, by grey and by place, and every centre to the mean of its pixels. No chance is in it.

    Args:
        film: (row, column), normalised grey.
        along_side: Pieces along one side, at least 1.
        compactness: How many standard deviations of grey weigh as much as one cell of the grid;
            the more, the squarer.

    Returns:
        (row, column), 0 to at most along_side² - 1; numbers without a pixel are left out.

    References:
        Achanta et al. 2012, SLIC, with the 3 × 3 nearest cells as the window.
    """
    rows, columns = np.indices(film.shape)
    cell = np.array(film.shape, np.float64) / along_side
    grid_row = np.minimum((rows / cell[0]).astype(np.int64), along_side - 1)
    grid_column = np.minimum((columns / cell[1]).astype(np.int64), along_side - 1)
    points = np.stack(
        [film / compactness, rows / cell[0], columns / cell[1]], axis=-1, dtype=np.float64
    )
    labels = grid_row * along_side + grid_column
    for _ in range(_ROUNDS):
        centres = _compute_centres(points, labels, count=along_side**2)
        labels = _find_nearest(points, centres, grid_row, grid_column)
    found: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].reshape(film.shape)
    return found


def _compute_centres(
    points: NDArray[np.float64], labels: NDArray[np.int64], *, count: int
) -> NDArray[np.float64]:
    """Compute the mean point of each piece, (count, 3); infinity for an empty one."""
    sizes = np.bincount(labels.ravel(), minlength=count)
    sums = [
        np.bincount(labels.ravel(), weights=points[..., axis].ravel(), minlength=count)
        for axis in range(points.shape[-1])
    ]
    filled = sizes > 0
    centres = np.full((count, points.shape[-1]), np.inf)
    centres[filled] = np.stack(sums, axis=1)[filled] / sizes[filled, None]
    return centres


def _find_nearest(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    grid_row: NDArray[np.int64],
    grid_column: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find for each pixel the nearest centre of its own grid cell and the eight around it."""
    along_side = int(grid_row.max()) + 1
    nearest = np.full(grid_row.shape, np.inf)
    labels = np.zeros(grid_row.shape, np.int64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row = (grid_row + down).clip(0, along_side - 1)
            column = (grid_column + right).clip(0, along_side - 1)
            candidate = row * along_side + column
            distance = np.square(points - centres[candidate]).sum(axis=-1)
            closer = distance < nearest
            nearest[closer] = distance[closer]
            labels[closer] = candidate[closer]
    return labels
