"""Numbers that need only the order of the scores: ROC curve, its area, average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import divide

__all__ = ["Auroc", "AveragePrecision", "RocPoints", "compute_roc_points"]

_SMALLEST = 1e-300


class _Ranking:
    """Films of a class and the others, each in order of their score, the highest first.

    Args:
        positive: Whether a film shows the class, (films,).
        scores: Higher argues for the class, (films,).
    """

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        order = np.argsort(-scores, kind="stable")
        self.shown = order[positive[order]]
        self.others = order[~positive[order]]
        self.shown_scores = -scores[self.shown]
        self.others_scores = -scores[self.others]


class Auroc(_Ranking):
    """Area under the ROC curve: chance that a film of the class scores above another film.

    Ties count half, so that the area is the Mann-Whitney statistic.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        """Sort once; every resample is then two cumulated sums."""
        super().__init__(positive, scores)
        self._above = np.searchsorted(self.shown_scores, self.others_scores, side="left")
        self._level = np.searchsorted(self.shown_scores, self.others_scores, side="right")
        self._has_ties = bool((self._above != self._level).any())

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the area for each resample, (resamples,), 0 to 1; NaN where a side is empty."""
        found = _cumulate(np.take(weights, self.shown, axis=1))
        mistaken = np.take(weights, self.others, axis=1)
        pairs = np.einsum("ij,ij->i", np.take(found, self._above, axis=1), mistaken)
        if self._has_ties:
            level = np.einsum("ij,ij->i", np.take(found, self._level, axis=1), mistaken)
            pairs = (pairs + level) / 2
        return divide(pairs, found[:, -1] * mistaken.sum(axis=1))


class AveragePrecision(_Ranking):
    """Area under the precision-recall curve: precision at each step, weighted by recall gained."""

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        """Sort once; a film of the class is called together with all that score as high."""
        super().__init__(positive, scores)
        self._own = np.searchsorted(self.shown_scores, self.shown_scores, side="right")
        self._theirs = np.searchsorted(self.others_scores, self.shown_scores, side="right")

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute it for each resample, (resamples,), 0 to 1; NaN without films of the class."""
        shown = np.take(weights, self.shown, axis=1)
        found = np.take(_cumulate(shown), self._own, axis=1)
        mistaken = _cumulate(np.take(weights, self.others, axis=1))
        called = found + np.take(mistaken, self._theirs, axis=1)
        precision = found / np.maximum(called, _SMALLEST)
        return divide(np.einsum("ij,ij->i", precision, shown), shown.sum(axis=1))


def _cumulate(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulate along the films, from 0: (resamples, films) to (resamples, films + 1)."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


@dataclass(frozen=True)
class RocPoints:
    """Corners of a ROC curve from (0, 0) to (1, 1), in order; arrays of (points,).

    Attributes:
        false_positive_rate: 0 to 1.
        true_positive_rate: 0 to 1.
        thresholds: Lowest score still called the class; infinite at (0, 0).
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]


def compute_roc_points(
    positive: NDArray[np.bool_], scores: NDArray[np.float64]
) -> RocPoints | None:
    """Compute the corners of a ROC curve; None where the class or the rest is absent.

    Args:
        positive: Whether a film shows the class, (films,).
        scores: Higher argues for the class, (films,).
    """
    if positive.all() or not positive.any():
        return None
    steps = np.unique(scores)[::-1]
    ranking = _Ranking(positive, scores)
    rise = _count_called(ranking.shown_scores, steps)
    run = _count_called(ranking.others_scores, steps)
    thresholds = np.concatenate(([np.inf], steps))
    corner = np.ones(len(rise), dtype=bool)
    corner[1:-1] = (np.diff(rise, 2) != 0) | (np.diff(run, 2) != 0)
    return RocPoints(run[corner] / run[-1], rise[corner] / rise[-1], thresholds[corner])


def _count_called(scores: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the films called at each step, from none, (steps + 1,); `scores` are negated."""
    called = np.searchsorted(scores, -steps, side="right")
    return np.concatenate(([0.0], called.astype(np.float64)))
