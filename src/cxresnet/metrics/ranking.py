"""Scores that depend only on the ranking: ROC curve, its area, average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import Key, Statistic, divide

_SMALLEST = 1e-300


class _Ranking:
    """Images of a class and the others, each in order of their score, the highest first.

    Args:
        positive: Whether an image shows the class, (images,).
        scores: Higher argues for the class, (images,).
    """

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        order = np.argsort(-scores, kind="stable")
        self.positives = order[positive[order]]
        self.negatives = order[~positive[order]]
        self.positive_scores = -scores[self.positives]
        self.negative_scores = -scores[self.negatives]


class Auroc(_Ranking):
    """Area under the ROC curve: chance that an image of the class scores above another image.

    Ties count half, so that the area is the Mann-Whitney statistic.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        """Sort once; every resample is then two cumulated sums."""
        super().__init__(positive, scores)
        self._above = np.searchsorted(self.positive_scores, self.negative_scores, side="left")
        self._level = np.searchsorted(self.positive_scores, self.negative_scores, side="right")
        self._has_ties = bool((self._above != self._level).any())

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the area for each resample, (resamples,), 0 to 1; NaN where a side is empty."""
        true_positives = _cumulate(np.take(weights, self.positives, axis=1))
        false_positives = np.take(weights, self.negatives, axis=1)
        pairs = np.einsum("ij,ij->i", np.take(true_positives, self._above, axis=1), false_positives)
        if self._has_ties:
            level = np.einsum(
                "ij,ij->i", np.take(true_positives, self._level, axis=1), false_positives
            )
            pairs = (pairs + level) / 2
        return divide(pairs, true_positives[:, -1] * false_positives.sum(axis=1))


def build_auroc(
    name: Key,
    scores: NDArray[np.float64],
    *,
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
) -> Statistic:
    """Build the area under the ROC curve of some images against some others.

    Args:
        name: Of the number.
        scores: Higher argues for the first, (images,).
        positive: The first, a mask of (images,).
        negative: The others, likewise; images in neither mask are left out.
    """
    rows = np.flatnonzero(positive | negative)
    area = Auroc(positive[rows], scores[rows])
    return Statistic(
        name=name,
        compute=lambda weights: area(np.take(weights, rows, axis=1)),
        parts=(positive, negative),
        undefined="One of the two sides has no image.",
    )


class AveragePrecision(_Ranking):
    """Area under the precision-recall curve: precision at each step, weighted by recall gained."""

    def __init__(self, positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
        """Sort once; an image of the class is called together with all that score as high."""
        super().__init__(positive, scores)
        self._own = np.searchsorted(self.positive_scores, self.positive_scores, side="right")
        self._theirs = np.searchsorted(self.negative_scores, self.positive_scores, side="right")

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute it for each resample, (resamples,), 0 to 1; NaN without images of the class."""
        positives = np.take(weights, self.positives, axis=1)
        true_positives = np.take(_cumulate(positives), self._own, axis=1)
        false_positives = _cumulate(np.take(weights, self.negatives, axis=1))
        predicted_positive = true_positives + np.take(false_positives, self._theirs, axis=1)
        precision = true_positives / np.maximum(predicted_positive, _SMALLEST)
        return divide(np.einsum("ij,ij->i", precision, positives), positives.sum(axis=1))


def _cumulate(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulate along the images, from 0: (resamples, images) to (resamples, images + 1)."""
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
        positive: Whether an image shows the class, (images,).
        scores: Higher argues for the class, (images,).
    """
    if positive.all() or not positive.any():
        return None
    steps = np.unique(scores)[::-1]
    ranking = _Ranking(positive, scores)
    rise = _count_called(ranking.positive_scores, steps)
    run = _count_called(ranking.negative_scores, steps)
    thresholds = np.concatenate(([np.inf], steps))
    corner = np.ones(len(rise), dtype=bool)
    corner[1:-1] = (np.diff(rise, 2) != 0) | (np.diff(run, 2) != 0)
    return RocPoints(run[corner] / run[-1], rise[corner] / rise[-1], thresholds[corner])


def _count_called(scores: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the images called at each step, from none, (steps + 1,); `scores` are negated."""
    predicted_positive = np.searchsorted(scores, -steps, side="right")
    return np.concatenate(([0.0], predicted_positive.astype(np.float64)))
