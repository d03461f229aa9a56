"""Verification of a candidate pair: align the thumbnails, then compare what is specific to them.

What every chest X-ray of the collection has in common is aligned with the pair as well and removed
from both, because spine, heart and diaphragm make unrelated images agree, too. Near-duplicates then
agree down to the noise; unrelated images, even two images of one patient, do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Alignment of one thumbnail with another, to undo a crop or another padding.
#
# The motion is a stretch and a shift of each axis, found by least squares on the grey levels (Lucas
# and Kanade 1981), first at half the resolution. Many pairs are aligned at once.


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


Batch = NDArray[np.float32]
Pairs = NDArray[np.int64]

_MIN_COARSE_AGREEMENT = 0.86
_MIN_FINE_AGREEMENT = 0.85
"""With what all images have in common still in it; both only save time."""

_PRIOR_IMAGES = 6
"""With hardly more images than this, what they have in common is not well known."""

_BLOCK = 128
"""Pairs at a time: what fits into the processor's cache."""


def measure_agreement(thumbnails: NDArray[np.uint8], pairs: Pairs, *, mirrored: bool) -> Batch:
    """Measure how well pairs of thumbnails agree after alignment.

    Either is aligned to the other, since the one that is enlarged loses detail; the better way
    counts.

    Args:
        thumbnails: (n, side, side); what they have in common is learned from all of them.
        pairs: (pairs, 2), rows of `thumbnails`.
        mirrored: Whether the first of each pair is to be mirrored.

    Returns:
        (pairs,), the correlation of what is particular to the two: 1 for the same image, 0 for a
        pair that was not worth the closer look.
    """
    total = thumbnails.sum(axis=0, dtype=np.float64).astype(np.float32)
    others = max(len(thumbnails) - 2, 0)
    agreement = np.zeros(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), _BLOCK):
        rows = pairs[start : start + _BLOCK]
        first, second = (thumbnails[rows[:, side]].astype(np.float32) for side in (0, 1))
        common = (total - first - second) / max(others, 1)
        flip = slice(None, None, -1 if mirrored else 1)
        pair = _Pairs(
            first[:, :, flip], second, common[:, :, flip], others / (others + _PRIOR_IMAGES)
        )
        there = pair.measure()
        close = np.flatnonzero(there > 0)
        back = _Pairs(second[close], pair.target[close], common[close], pair.trust).measure()
        there[close] = np.maximum(there[close], back)
        agreement[start : start + _BLOCK] = there
    return agreement


@dataclass(frozen=True)
class _Pairs:
    """Pairs of thumbnails, one to be moved onto the other; each (pairs, side, side).

    Attributes:
        target: Stays where it is.
        moving: Is aligned to it.
        common: What all other images have in common, seen as the target is.
        trust: 0 to 1, how far `common` is known.
    """

    target: Batch
    moving: Batch
    common: Batch
    trust: float

    def select(self, rows: NDArray[np.int64]) -> _Pairs:
        """Keep some of the pairs."""
        return _Pairs(self.target[rows], self.moving[rows], self.common[rows], self.trust)

    def measure(self) -> Batch:
        """Measure their agreement, 0 where a first look was enough."""
        agreement = np.zeros(len(self.target), dtype=np.float32)
        motion, coarse = align_coarsely(self.target, self.moving)
        alive = np.flatnonzero(coarse >= _MIN_COARSE_AGREEMENT)
        pairs = self.select(alive)
        moved, seen = align_finely(pairs.target, pairs.moving, motion[alive])
        own, other = (_keep_structure(batch, seen) for batch in (pairs.equalise_target(), moved))
        close = np.flatnonzero(_correlate(own, other) >= _MIN_FINE_AGREEMENT)
        agreement[alive[close]] = pairs.select(close).compare(moved[close], seen[close])
        return agreement

    def equalise_target(self) -> Batch:
        """Even the targets out as the moved thumbnails are."""
        return standardise(smooth(self.target))

    def compare(self, moved: Batch, seen: Batch) -> Batch:
        """Correlate what is left of both without what all have in common."""
        motion, _ = align_coarsely(self.target, self.common)
        shared, shared_seen = align_finely(self.target, self.common, motion)
        seen = seen * shared_seen
        pattern = _keep_structure(shared, seen)
        own, other = (
            _take_out(pattern, _keep_structure(batch, seen), self.trust)
            for batch in (self.equalise_target(), moved)
        )
        return _correlate(own, other)


def _keep_structure(batch: Batch, seen: Batch) -> Batch:
    """Keep what a wide blur takes away (ribs, heart borders), with mean 0 where it is seen."""
    count = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    fine = seen * (batch - smooth(smooth(smooth(smooth(batch)))))
    return np.asarray(
        fine - seen * (fine.sum(axis=(1, 2), keepdims=True) / count), dtype=np.float32
    )


def _take_out(pattern: Batch, batch: Batch, trust: float) -> Batch:
    """Take a pattern out of each thumbnail, as much of it as is there."""
    power = np.maximum((pattern * pattern).sum(axis=(1, 2), keepdims=True), 1e-9)
    amount = (batch * pattern).sum(axis=(1, 2), keepdims=True) / power
    return np.asarray(batch - np.float32(trust) * amount * pattern, dtype=np.float32)


def _correlate(first: Batch, second: Batch) -> Batch:
    product = (first * second).sum(axis=(1, 2))
    power = (first * first).sum(axis=(1, 2)) * (second * second).sum(axis=(1, 2))
    return np.asarray(product / np.sqrt(np.maximum(power, 1e-9)), dtype=np.float32)
