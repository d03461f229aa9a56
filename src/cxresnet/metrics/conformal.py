"""Prediction sets: classes enough to hold the true one with the target coverage.

The coverage holds class by class: of the images of each class, the set holds that class for at
least the target coverage, on average over calibration images, as long as the images that are
evaluated are exchangeable with them. Images of an external test set are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import Statistic, divide

_ROUNDING = 1e-9

_Array = NDArray[np.float64]


def fit_set_thresholds(
    probabilities: _Array, truth: NDArray[np.int64], *, coverage: float
) -> _Array:
    """Find, for each class, the lowest probability with which it still belongs to a set.

    Of the n calibration images of a class, the k with the lowest probability of it are given up,
    k = floor((n + 1) (1 - coverage)); a new image of the class falls below the k-th lowest with
    probability k / (n + 1) at most.

    Args:
        probabilities: Of images that the network did not learn from, (images, classes).
        truth: Their true classes, (images,).
        coverage: Share of each class's images whose set shall hold it, 0 to 1.

    Returns:
        (classes,), 0 to 1; 0, which keeps the class in every set, where its images are too few to
        promise more: fewer than coverage / (1 - coverage).

    References:
        Vovk 2012, "Conditional validity of inductive conformal predictors" (the Mondrian case);
        Sadinle et al. 2019 (least ambiguous sets); the rank is that of Angelopoulos and Bates 2023.
    """
    thresholds = np.zeros(probabilities.shape[1])
    for index in range(len(thresholds)):
        own = np.sort(probabilities[truth == index, index])
        excluded = _count_excluded(len(own), coverage)
        if excluded:
            thresholds[index] = own[excluded - 1]
    return thresholds


def compute_expected_coverage(
    images: int, *, patients: int, coverage: float, confidence: float
) -> tuple[float, float]:
    """Compute where the coverage of a class lies by chance alone, after one fit on so many images.

    The promise holds on average over fits; one fit on few images keeps more or less than it. Images
    of one patient are taken to be alike, so that the fit is as sure as one on the patients.

    Args:
        images: Calibration images of the class.
        patients: Who they show, 1 to `images`.
        coverage: Asked for, 0 to 1.
        confidence: Share of the fits that lie within, 0 to 1.

    Returns:
        Lower and upper end; 1 and 1 where the class is in every set.

    References:
        Vovk 2012: of independent images, the coverage of one fit is beta distributed.

    >>> low, high = compute_expected_coverage(75, patients=75, coverage=0.9, confidence=0.95)
    >>> f"{low:.3f} to {high:.3f}"
    '0.834 to 0.962'
    """
    from scipy import stats  # noqa: PLC0415  slow to import, and not needed to predict

    excluded = _count_excluded(images, coverage)
    if not excluded:
        return 1.0, 1.0
    tail = (1 - confidence) / 2
    effective_size = patients / images
    low, high = stats.beta.ppf(
        [tail, 1 - tail], effective_size * (images + 1 - excluded), effective_size * excluded
    )
    return float(low), float(high)


def build_prediction_sets(probabilities: _Array, thresholds: _Array) -> NDArray[np.bool_]:
    """Say which classes belong to each image's set, (images, classes); a set may be empty.

    >>> build_prediction_sets(np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([0.6, 0.4])).tolist()
    [[True, False], [False, True]]
    """
    sets: NDArray[np.bool_] = probabilities >= thresholds
    return sets


def _count_excluded(images: int, coverage: float) -> int:
    return math.floor((images + 1) * (1 - coverage) + _ROUNDING)


# The remaining error if the network decided only on its most confident images.


@dataclass(frozen=True)
class _MeanRisk:
    """Area under the risk-coverage curve.

    Attributes:
        confidence: Higher is surer, (images,).
        wrong: Whether the prediction is wrong, (images,).
    """

    confidence: _Array
    wrong: NDArray[np.bool_]

    def sum_by_step(self, weights: _Array) -> tuple[_Array, _Array]:
        """Sum images and errors from the most confident down; equal confidence is one step.

        Args:
            weights: (resamples, images).

        Returns:
            Images and mistakes of each step, (resamples, steps) each.
        """
        order = np.argsort(-self.confidence, kind="stable")
        ordered = self.confidence[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        images = np.add.reduceat(weights[:, order], starts, axis=1)
        mistakes = np.add.reduceat(weights[:, order] * self.wrong[order], starts, axis=1)
        return images, mistakes

    def __call__(self, weights: _Array) -> _Array:
        images, mistakes = self.sum_by_step(weights)
        accepted = np.cumsum(images, axis=1)
        risk = np.cumsum(mistakes, axis=1) / np.maximum(accepted, 1e-12)
        return divide((images * risk).sum(axis=1), images.sum(axis=1))


@dataclass(frozen=True)
class RiskCoveragePoints:
    """Corners of the curve, from the most confident images to all; arrays of (points,).

    Attributes:
        coverage: Share of the images that are decided, 0 to 1; the last is 1.
        risk: Share of the decisions that are wrong, 0 to 1.
        confidence: Lowest confidence that is still decided.
    """

    coverage: _Array
    risk: _Array
    confidence: _Array


def build_risk_coverage_statistic(
    confidence: _Array, wrong: NDArray[np.bool_], *, name: str = "aurc"
) -> Statistic:
    """Build the mean risk over all coverages; 0 is best, and the plain error rate is no ranking.

    Args:
        confidence: Higher is surer, (images,).
        wrong: Whether the prediction is wrong, (images,).
        name: Of the statistic.

    References:
        Geifman and El-Yaniv 2017; the mean over the images, each at its own coverage, is the AURC
        of Geifman et al. 2019. Ours decides images of equal confidence together.
    """
    everyone = (np.ones(len(wrong), dtype=bool),)
    compute = _MeanRisk(confidence, wrong)
    return Statistic(name=name, compute=compute, parts=everyone, undefined="There is no image.")


def compute_risk_coverage_points(
    confidence: _Array, wrong: NDArray[np.bool_]
) -> RiskCoveragePoints | None:
    """Compute the curve; None without images. Arguments as of `build_risk_coverage_statistic`."""
    if not len(wrong):
        return None
    images, mistakes = _MeanRisk(confidence, wrong).sum_by_step(np.ones((1, len(wrong))))
    accepted = np.cumsum(images[0])
    return RiskCoveragePoints(
        coverage=accepted / accepted[-1],
        risk=np.cumsum(mistakes[0]) / accepted,
        confidence=np.unique(confidence)[::-1],
    )
