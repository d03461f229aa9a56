"""Whether two thumbnails show one film: align them, then compare what is left.

Two thumbnails are aligned as a crop or another padding would move them (stretch and shift, each
axis by itself), by least squares (Lucas and Kanade 1981). Copies then agree down to the noise;
strangers, even two films of one patient, do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["measure_agreement"]

Batch = NDArray[np.float32]
Pairs = NDArray[np.int64]

_LARGEST_STRETCH = 0.20
_LARGEST_SHIFT = 0.12
"""Of the side: more than any crop that we call small."""

_COARSE_STEPS = 3
_FINE_STEPS = 4
_LEAST_COARSE_AGREEMENT = 0.86
_LEAST_FIRST_AGREEMENT = 0.85
_BLOCK = 128
"""Pairs at a time: what fits into the processor's cache."""


def measure_agreement(thumbnails: NDArray[np.uint8], pairs: Pairs, *, mirrored: bool) -> Batch:
    """Measure how well pairs of thumbnails agree after alignment.

    Either is aligned to the other, since the one that is enlarged loses detail; the better way
    counts. Pairs that disagree already at half the resolution are not looked at twice.

    Args:
        thumbnails: (n, side, side).
        pairs: (pairs, 2), rows of `thumbnails`.
        mirrored: Whether the first of each pair is to be mirrored.

    Returns:
        (pairs,), the correlation of their structures where both overlap: 1 for the same film, 0
        for a pair that was not worth the closer look.
    """
    agreement = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), _BLOCK):
        rows = pairs[start : start + _BLOCK]
        first = thumbnails[rows[:, 0]].astype(np.float32)
        first = first[:, :, ::-1] if mirrored else first
        second = thumbnails[rows[:, 1]].astype(np.float32)
        agreement[start : start + _BLOCK] = _measure_block(first, second)
    return agreement


def _measure_block(first: Batch, second: Batch) -> Batch:
    agreement = np.zeros(len(first), dtype=np.float32)
    motion, coarse = _align_coarsely(first, second)
    alive = np.flatnonzero(coarse >= _LEAST_COARSE_AGREEMENT)
    if len(alive) == 0:
        return agreement
    agreement[alive] = _align_finely(first[alive], second[alive], motion[alive])
    close = np.flatnonzero(agreement >= _LEAST_FIRST_AGREEMENT)
    if len(close):
        back, _ = _align_coarsely(second[close], first[close])
        other_way = _align_finely(second[close], first[close], back)
        agreement[close] = np.maximum(agreement[close], other_way)
    return agreement


def _align_coarsely(first: Batch, second: Batch) -> tuple[Batch, Batch]:
    """Align at half the resolution; returns the motion and the correlation that is left."""
    target, moving = (_standardise(_smooth(_halve(batch))) for batch in (first, second))
    motion = np.zeros((len(first), 4), dtype=np.float32)
    motion = _refine(target, moving, motion, steps=_COARSE_STEPS)
    moved = _standardise(_move(moving, motion))
    return motion, (target * moved).mean(axis=(1, 2))


def _align_finely(first: Batch, second: Batch, motion: Batch) -> Batch:
    """Go on from a coarse alignment; returns the agreement."""
    target, moving = _standardise(_smooth(first)), _standardise(_smooth(second))
    motion = _refine(target, moving, motion, steps=_FINE_STEPS)
    return _correlate_structure(target, _move(moving, motion), _see(first.shape[1], motion))


def _refine(target: Batch, moving: Batch, motion: Batch, *, steps: int) -> Batch:
    """Take steps of least squares towards the motion that brings one onto the other."""
    largest = np.float32([_LARGEST_STRETCH, _LARGEST_SHIFT] * 2)
    for _ in range(steps):
        step = _solve_step(target, _standardise(_move(moving, motion)))
        motion = np.clip(motion + step, -largest, largest)
    return motion


def _halve(batch: Batch) -> Batch:
    count, side, _ = batch.shape
    half = batch.reshape(count, side // 2, 2, side // 2, 2)
    return np.asarray(half.mean(axis=(2, 4)), dtype=np.float32)


def _standardise(batch: Batch) -> Batch:
    even = batch - batch.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt((even * even).mean(axis=(1, 2), keepdims=True))
    return np.asarray(even / np.maximum(deviation, 1e-6), dtype=np.float32)


def _smooth(batch: Batch) -> Batch:
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
    slopes = np.stack([column.reshape(len(target), -1) for column in columns], axis=2)
    error = (target - moved).reshape(len(target), -1, 1)
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
    return np.maximum(1 - distance, 0)


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


def _correlate_structure(first: Batch, second: Batch, seen: Batch) -> Batch:
    """Correlate what a wide blur takes away (ribs, heart borders), where both are seen."""
    count = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    parts = []
    for batch in (first, second):
        fine = seen * (batch - _smooth(_smooth(_smooth(_smooth(batch)))))
        parts.append(fine - seen * (fine.sum(axis=(1, 2), keepdims=True) / count))
    one, two = parts
    product = (one * two).sum(axis=(1, 2))
    power = (one * one).sum(axis=(1, 2)) * (two * two).sum(axis=(1, 2))
    return np.asarray(product / np.sqrt(np.maximum(power, 1e-9)), dtype=np.float32)
