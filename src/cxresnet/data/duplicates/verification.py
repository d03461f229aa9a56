"""Whether two thumbnails show one film: align them, then compare what is their own.

What every chest film of the collection has in common is aligned to the pair as well, and taken out
of both: spine, heart and diaphragm make strangers agree, too. Copies then agree down to the noise;
strangers, even two films of one patient, do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.data.duplicates.alignment import align_coarsely, align_finely, smooth, standardise

__all__ = ["measure_agreement"]

Batch = NDArray[np.float32]
Pairs = NDArray[np.int64]

_LEAST_COARSE_AGREEMENT = 0.86
_LEAST_FINE_AGREEMENT = 0.85
"""With what all films have in common still in it; both only save time."""

_FEW_FILMS = 6
"""With hardly more films than this, what they have in common is not well known."""

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
        (pairs,), the correlation of what is particular to the two: 1 for the same film, 0 for a
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
        pair = _Pairs(first[:, :, flip], second, common[:, :, flip], others / (others + _FEW_FILMS))
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
        common: What all other films have in common, seen as the target is.
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
        alive = np.flatnonzero(coarse >= _LEAST_COARSE_AGREEMENT)
        pairs = self.select(alive)
        moved, seen = align_finely(pairs.target, pairs.moving, motion[alive])
        own, other = (_keep_structure(batch, seen) for batch in (pairs.even_target(), moved))
        close = np.flatnonzero(_correlate(own, other) >= _LEAST_FINE_AGREEMENT)
        agreement[alive[close]] = pairs.select(close).compare(moved[close], seen[close])
        return agreement

    def even_target(self) -> Batch:
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
            for batch in (self.even_target(), moved)
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
