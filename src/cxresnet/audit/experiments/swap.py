"""Put the lungs of one image into the frame of another: whose answer does the model then give?

The frame is all that is not lung: chest wall, heart, belly, letters, border. Each lung of the donor
is stretched row by row onto the host's lung of the same side, so that lung comes to lie on lung,
and is faded in with a soft edge. The donor's grey levels stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cxresnet.explain.lungs import ImageLungs

_FEATHER = 0.02
"""Standard deviation of the soft edge, as a share of the image's side."""

_DILATION = 0.01
"""So far the swapped region reaches beyond the host's lungs, likewise: a finding at the pleura
comes along, and the edge of a mask is never exact."""

_HEIGHTS = 65
"""Heights of a lung at which its borders are measured."""

_SMOOTH = 3.0
"""Standard deviation over heights: the borders of a mask are rugged, those of a lung are not."""

_WIDE = 0.7
"""Of the widest row: below the last row so wide only the corner beside the diaphragm is left, and a
lung is no longer stretched but moved. Otherwise the floor of the lung would be smeared."""

_WIDEST_STRETCH = 1.8
"""Tips and corners of two lungs differ more than that; beyond, the picture would be torn."""


@dataclass(frozen=True, eq=False)
class _Outline:
    """Where a lung lies: its rows, and at each height from tip to floor its middle and width.

    Attributes:
        top: First row.
        height: Rows.
        middles: (_HEIGHTS,), column.
        widths: (_HEIGHTS,), at least 1.
    """

    top: float
    height: float
    middles: NDArray[np.float64]
    widths: NDArray[np.float64]


def swap_lungs(
    host: NDArray[np.uint8],
    host_lungs: ImageLungs,
    donor: NDArray[np.uint8],
    donor_lungs: ImageLungs,
) -> NDArray[np.uint8]:
    """Put the donor's lungs into the host's frame.

    Args:
        host: The image that gives the frame, (row, column).
        host_lungs: Its lungs; neither may be empty.
        donor: The image that gives the lungs, (row, column), of any size.
        donor_lungs: Its lungs; neither may be empty.

    Returns:
        (row, column) of the host: its own pixels far from its lungs, the donor's inside of them.
    """
    mixed = host.astype(np.float64)
    for ours, theirs in _list_sides(host_lungs, donor_lungs):
        opacity = compute_opacity(ours)
        moved = _move(donor, ours, theirs, order=3)
        mixed += opacity * (moved - mixed)
    swapped: NDArray[np.uint8] = np.rint(mixed.clip(0, 255)).astype(np.uint8)
    return swapped


def move_map(
    values: NDArray[np.float32], host_lungs: ImageLungs, donor_lungs: ImageLungs
) -> NDArray[np.float32]:
    """Move a map of the donor onto the host's lungs, as `swap_lungs` moves its pixels.

    Args:
        values: (row, column) of the donor.
        host_lungs: Where it is moved to.
        donor_lungs: Where it lies.

    Returns:
        (row, column) of the host; 0 outside of its lungs.
    """
    moved = np.zeros(host_lungs.mask.shape, np.float32)
    for ours, theirs in _list_sides(host_lungs, donor_lungs):
        moved[ours] = _move(values, ours, theirs, order=1)[ours]
    return moved


def compute_opacity(lung: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute how much of the donor is seen around one lung of the host.

    Args:
        lung: (row, column), true inside.

    Returns:
        (row, column), 1 well inside, 0 far outside.
    """
    side = max(lung.shape)
    grown = ndimage.binary_dilation(lung, iterations=max(1, round(_DILATION * side)))
    opacity: NDArray[np.float64] = ndimage.gaussian_filter(
        grown.astype(np.float64), _FEATHER * side
    )
    return opacity


def _list_sides(
    host_lungs: ImageLungs, donor_lungs: ImageLungs
) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]:
    return (
        (host_lungs.right_lung, donor_lungs.right_lung),
        (host_lungs.left_lung, donor_lungs.left_lung),
    )


def _move(
    values: NDArray[np.generic],
    host_lung: NDArray[np.bool_],
    donor_lung: NDArray[np.bool_],
    *,
    order: int,
) -> NDArray[np.float64]:
    """Move one lung of the donor onto that of the host, with all that lies around it."""
    ours, theirs = _measure_outline(host_lung), _measure_outline(donor_lung)
    rows, columns = np.indices(host_lung.shape).astype(np.float64)
    depth = (rows - ours.top) / ours.height
    place = depth.clip(0, 1) * (_HEIGHTS - 1)
    levels = np.arange(_HEIGHTS)
    stretch = (theirs.widths / ours.widths).clip(1 / _WIDEST_STRETCH, _WIDEST_STRETCH)
    across = columns - np.interp(place, levels, ours.middles)
    source_columns = np.interp(place, levels, theirs.middles) + across * np.interp(
        place, levels, stretch
    )
    source_rows = theirs.top + depth * theirs.height
    moved: NDArray[np.float64] = ndimage.map_coordinates(
        values.astype(np.float64), [source_rows, source_columns], order=order, mode="nearest"
    )
    return moved


def _measure_outline(lung: NDArray[np.bool_]) -> _Outline:
    """Measure the outline of one lung, (row, column); it must not be empty."""
    rows = np.flatnonzero(lung.any(axis=1))
    first = lung.argmax(axis=1)[rows]
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)[rows]
    lowest_wide = int(np.flatnonzero(last - first >= _WIDE * (last - first).max())[-1])
    first[lowest_wide:], last[lowest_wide:] = first[lowest_wide], last[lowest_wide]
    top, height = float(rows[0]), float(rows[-1] - rows[0] + 1)
    wanted = np.linspace(rows[0], rows[-1], _HEIGHTS)
    left, right = (
        ndimage.gaussian_filter1d(np.interp(wanted, rows, edge), _SMOOTH, mode="nearest")
        for edge in (first, last)
    )
    return _Outline(top, height, (left + right) / 2, np.maximum(right - left + 1, 1))
