"""Bring one thumbnail onto another, as a crop or another padding would have moved it.

The motion is a stretch and a shift, each axis by itself, found by least squares on the grey levels
(Lucas and Kanade 1981), first at half the resolution. Many pairs are aligned at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["align_coarsely", "align_finely", "smooth", "standardise"]

Batch = NDArray[np.float32]

_LARGEST_STRETCH = 0.20
_LARGEST_SHIFT = 0.12
"""Of the side: more than any crop that we call small."""

_COARSE_STEPS = 3
_FINE_STEPS = 4


def align_coarsely(first: Batch, second: Batch) -> tuple[Batch, Batch]:
    """Align the second to the first at half the resolution.

    Args:
        first: (pairs, side, side), any scale.
        second: The same shape.

    Returns:
        The motion, (pairs, 4): stretch and shift across, stretch and shift down, as shares of the
        side; and the correlation (pairs,) that it leads to.
    """
    target, moving = (standardise(smooth(_halve(batch))) for batch in (first, second))
    motion = np.zeros((len(first), 4), dtype=np.float32)
    motion = _refine(target, moving, motion, steps=_COARSE_STEPS)
    moved = standardise(_move(moving, motion))
    return motion, (target * moved).mean(axis=(1, 2))


def align_finely(first: Batch, second: Batch, motion: Batch) -> tuple[Batch, Batch]:
    """Go on from the motion of a coarse alignment.

    Returns:
        The second, evened out and moved; and 1 where it is seen, 0 elsewhere; both as `first`.
    """
    target, moving = standardise(smooth(first)), standardise(smooth(second))
    motion = _refine(target, moving, motion, steps=_FINE_STEPS)
    return _move(moving, motion), _see(first.shape[1], motion)


def _refine(target: Batch, moving: Batch, motion: Batch, *, steps: int) -> Batch:
    """Take steps of least squares towards the motion that brings one onto the other."""
    largest = np.array([_LARGEST_STRETCH, _LARGEST_SHIFT] * 2, dtype=np.float32)
    for _ in range(steps):
        step = _solve_step(target, standardise(_move(moving, motion)))
        motion = np.clip(motion + step, -largest, largest)
    return motion


def _halve(batch: Batch) -> Batch:
    count, side, _ = batch.shape
    half = batch.reshape(count, side // 2, 2, side // 2, 2)
    return np.asarray(half.mean(axis=(2, 4)), dtype=np.float32)


def standardise(batch: Batch) -> Batch:
    """Bring each thumbnail to mean 0 and standard deviation 1."""
    even = batch - batch.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt((even * even).mean(axis=(1, 2), keepdims=True))
    return np.asarray(even / np.maximum(deviation, 1e-6), dtype=np.float32)


def smooth(batch: Batch) -> Batch:
    """Blur with (1, 2, 1) / 4 along both axes, edges repeated."""
    wide = np.pad(batch, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    both = rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    return np.asarray(both / 16, dtype=np.float32)


def _solve_step(target: Batch, moved: Batch) -> Batch:
    """Solve for the small motion that brings `moved` nearer to `target`: (pairs, 4)."""
    side = target.shape[1]
    place = ((np.arange(side, dtype=np.float32) + 0.5) / side) - 0.5
    middle = np.float32(0.25 * side) * (moved + target)
    down, across = np.zeros_like(middle), np.zeros_like(middle)
    down[:, 1:-1] = middle[:, 2:] - middle[:, :-2]
    across[:, :, 1:-1] = middle[:, :, 2:] - middle[:, :, :-2]
    columns = [across * place[None, None, :], across, down * place[None, :, None], down]
    slopes = np.stack([column.reshape(len(target), side * side) for column in columns], axis=2)
    error = (target - moved).reshape(len(target), side * side, 1)
    transposed = slopes.transpose(0, 2, 1)
    normal = transposed @ slopes
    strength = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal = normal + 1e-4 * (strength + 1e-6) * np.eye(4, dtype=np.float32)
    return np.asarray(np.linalg.solve(normal, transposed @ error)[:, :, 0], dtype=np.float32)


def _find_positions(side: int, stretch: Batch, shift: Batch) -> Batch:
    """Find where each target pixel lies in the moving thumbnail, in pixels: (pairs, side)."""
    place = ((np.arange(side, dtype=np.float32) + 0.5) / side) - 0.5
    moved = place[None, :] * (1 + stretch[:, None]) + shift[:, None] + 0.5
    return np.asarray(moved * side - 0.5, dtype=np.float32)


def _build_weights(side: int, stretch: Batch, shift: Batch) -> Batch:
    """Build linear interpolation as a matrix for each pair: (pairs, side, side)."""
    position = np.clip(_find_positions(side, stretch, shift), 0, side - 1)
    distance = np.abs(position[:, :, None] - np.arange(side, dtype=np.float32))
    return np.asarray(np.maximum(1 - distance, 0), dtype=np.float32)


def _move(batch: Batch, motion: Batch) -> Batch:
    """Stretch and shift each thumbnail by its own motion."""
    side = batch.shape[1]
    columns = _build_weights(side, motion[:, 0], motion[:, 1])
    rows = _build_weights(side, motion[:, 2], motion[:, 3])
    return np.asarray(rows @ batch @ columns.transpose(0, 2, 1), dtype=np.float32)


def _see(side: int, motion: Batch) -> Batch:
    """Mark with 1 the target pixels that have a counterpart, less one pixel at the border."""
    inside = []
    for stretch, shift in ((motion[:, 2], motion[:, 3]), (motion[:, 0], motion[:, 1])):
        position = _find_positions(side, stretch, shift)
        ok = (position >= 0.5) & (position <= side - 1.5)
        ok[:, [0, -1]] = False
        inside.append(ok)
    return np.asarray(inside[0][:, :, None] & inside[1][:, None, :], dtype=np.float32)
