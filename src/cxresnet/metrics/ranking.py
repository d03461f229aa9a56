"""Numbers that need only the order of the scores: ROC curve, its area, average precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import divide

__all__ = ["Auroc", "AveragePrecision", "RocPoints", "compute_roc_points"]


@dataclass(frozen=True)
class _Ranking:
    """Films in order of their score; films with the same score form one step.

    Attributes:
        positive: Whether a film shows the class, (films,).
        scores: Higher argues for the class, (films,).
    """

    positive: NDArray[np.bool_]
    scores: NDArray[np.float64]

    def sum_by_step(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum the weights of the class's films and of the others, from the highest score down.

        Args:
            weights: (resamples, films).

        Returns:
            Two arrays, (resamples, steps).
        """
        order = np.argsort(-self.scores, kind="stable")
        ordered = self.scores[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        positive, weights = self.positive[order], weights[:, order]
        found = np.add.reduceat(weights * positive, starts, axis=1)
        mistaken = np.add.reduceat(weights * ~positive, starts, axis=1)
        return found, mistaken


class Auroc(_Ranking):
    """Area under the ROC curve: chance that a film of the class scores above another film.

    Ties count half, so that the area is the Mann-Whitney statistic.
    """

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the area for each resample, (resamples,), 0 to 1; NaN where a side is empty."""
        found, mistaken = self.sum_by_step(weights)
        found_before = np.cumsum(found, axis=1) - found
        pairs = ((found_before + 0.5 * found) * mistaken).sum(axis=1)
        return divide(pairs, found.sum(axis=1) * mistaken.sum(axis=1))


class AveragePrecision(_Ranking):
    """Area under the precision-recall curve: precision at each step, weighted by recall gained."""

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute it for each resample, (resamples,), 0 to 1; NaN without films of the class."""
        found, mistaken = self.sum_by_step(weights)
        found_so_far = np.cumsum(found, axis=1)
        called = found_so_far + np.cumsum(mistaken, axis=1)
        precision = np.where(called > 0, found_so_far / np.maximum(called, 1.0), 0.0)
        return divide((precision * found).sum(axis=1), found.sum(axis=1))


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
    found, mistaken = _Ranking(positive, scores).sum_by_step(np.ones((1, len(scores))))
    rise = np.concatenate(([0.0], np.cumsum(found[0])))
    run = np.concatenate(([0.0], np.cumsum(mistaken[0])))
    thresholds = np.concatenate(([np.inf], np.unique(scores)[::-1]))
    corner = np.ones(len(rise), dtype=bool)
    corner[1:-1] = (np.diff(rise, 2) != 0) | (np.diff(run, 2) != 0)
    return RocPoints(run[corner] / run[-1], rise[corner] / rise[-1], thresholds[corner])
