"""A common frame for every pair of lungs: twelve zones, and the rest of the film.

Each lung is cut by its own height into thirds, and each row of it in half: the inner half lies
beside heart and spine, the outer one beside the ribs. So the same zone is the same place of the
lungs on every film, however large, turned or deeply inspired. Sides are the patient's: the
patient's right lung lies at the picture's left.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["OUTSIDE", "ZONE_NAMES", "compute_zones", "describe_zones", "split_lungs", "sum_zones"]

SIDES = ("right", "left")
HEIGHTS = ("upper", "middle", "lower")
DEPTHS = ("inner", "outer")
OUTSIDE = "outside"
ZONE_NAMES = (OUTSIDE, *(" ".join(parts) for parts in itertools.product(SIDES, HEIGHTS, DEPTHS)))
"""Name number i is that of the pixels with value i in a map of zones."""


_WIDE = 0.7
"""Of the widest row: narrower rows at the bottom are the corner beside the diaphragm."""


def split_lungs(mask: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split a mask of both lungs into the patient's right and left lung.

    The two largest pieces are the lungs. Where there is only one piece, the lungs touch, and are
    cut at the column of its middle.

    Args:
        mask: (row, column), above 0 inside.

    Returns:
        Right lung (at the picture's left), left lung; both (row, column).
    """
    labels, count = ndimage.label(mask > 0)
    sizes = np.bincount(labels.ravel())[1:]
    order = np.argsort(sizes)[::-1][:2] + 1
    if count < 2 or sizes[order[1] - 1] < 0.1 * sizes[order[0] - 1]:
        whole = mask > 0
        columns = np.nonzero(whole)[1]
        middle = columns.mean() if columns.size else 0
        at_left = np.arange(mask.shape[1])[None, :] < middle
        return whole & at_left, whole & ~at_left
    lungs = [labels == label for label in order]
    lungs.sort(key=lambda lung: float(np.nonzero(lung)[1].mean()))
    return lungs[0], lungs[1]


def compute_zones(right_lung: NDArray[np.bool_], left_lung: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Number every pixel by its zone.

    Args:
        right_lung: (row, column), true in the patient's right lung, at the picture's left.
        left_lung: The same for the left lung.

    Returns:
        (row, column), an index into `ZONE_NAMES`; 0 outside of the lungs.
    """
    zones = np.zeros(right_lung.shape, np.uint8)
    for side, lung in enumerate((right_lung, left_lung)):
        rows, columns = np.nonzero(lung)
        if not rows.size:
            continue
        top, height = rows.min(), rows.max() - rows.min() + 1
        third = np.minimum((rows - top) * len(HEIGHTS) // height, len(HEIGHTS) - 1)
        middles = _find_row_middles(lung)[rows]
        is_outer = columns < middles if side == 0 else columns > middles
        zones[rows, columns] = 1 + (side * len(HEIGHTS) + third) * len(DEPTHS) + is_outer
    return zones


def _find_row_middles(lung: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Find the middle between a lung's borders in each row; of rows without lung, anything.

    Below the dome of the diaphragm only the outer corner of the lung is left: there the middle of
    the last wide row stays.
    """
    width = lung.shape[1]
    first = lung.argmax(axis=1)
    last = width - 1 - lung[:, ::-1].argmax(axis=1)
    middles: NDArray[np.float64] = (first + last) / 2
    widths = np.where(lung.any(axis=1), last - first + 1, 0)
    lowest_wide = int(np.flatnonzero(widths >= _WIDE * widths.max())[-1])
    middles[lowest_wide:] = middles[lowest_wide]
    return middles


def sum_zones(values: NDArray[np.float64], zones: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Add up values zone by zone: (zones,), in the order of `ZONE_NAMES`."""
    sums = np.bincount(zones.ravel(), weights=values.ravel(), minlength=len(ZONE_NAMES))
    return sums.astype(np.float64)


def describe_zones(names: tuple[str, ...]) -> str:
    """Name one zone, both depths of a third, or one zone of both lungs, for people.

    >>> describe_zones(("right lower outer",))
    "the lower outer zone of the patient's right lung"
    >>> describe_zones(("right lower inner", "right lower outer"))
    "the lower third of the patient's right lung"
    >>> describe_zones(("right lower outer", "left lower outer"))
    'the lower outer zones of both lungs'
    """
    if names == (OUTSIDE,):
        return "the part of the film outside the lungs"
    sides = {name.split(" ", 1)[0] for name in names}
    side, height, depth = names[0].split(" ")
    if len(names) == 1:
        return f"the {height} {depth} zone of the patient's {side} lung"
    if len(sides) == 1:
        return f"the {height} third of the patient's {side} lung"
    return f"the {height} {depth} zones of both lungs"
