"""Sets of classes instead of one class, wide enough to hold the true one as often as was asked.

The promise is made class by class: of the films of each class, the set holds that class for at
least the coverage asked for, on average over calibration films, as long as the films that are
judged are like those that calibrated. Films from elsewhere are not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["build_prediction_sets", "compute_expected_coverage", "fit_set_thresholds"]

_ROUNDING = 1e-9

_Array = NDArray[np.float64]


def fit_set_thresholds(
    probabilities: _Array, truth: NDArray[np.int64], *, coverage: float
) -> _Array:
    """Find, for each class, the lowest probability with which it still belongs to a set.

    Of the n calibration films of a class, the k with the lowest probability of it are given up,
    k = floor((n + 1) (1 - coverage)); a new film of the class falls below the k-th lowest with
    probability k / (n + 1) at most.

    Args:
        probabilities: Of films that the network did not learn from, (films, classes).
        truth: Their true classes, (films,).
        coverage: Share of each class's films whose set shall hold it, 0 to 1.

    Returns:
        (classes,), 0 to 1; 0, which keeps the class in every set, where its films are too few to
        promise more: fewer than coverage / (1 - coverage).

    References:
        Vovk 2012, "Conditional validity of inductive conformal predictors" (the Mondrian case);
        Sadinle et al. 2019 (least ambiguous sets); the rank is that of Angelopoulos and Bates 2023.
    """
    thresholds = np.zeros(probabilities.shape[1])
    for index in range(len(thresholds)):
        own = np.sort(probabilities[truth == index, index])
        given_up = _count_given_up(len(own), coverage)
        if given_up:
            thresholds[index] = own[given_up - 1]
    return thresholds


def compute_expected_coverage(
    films: int, *, patients: int, coverage: float, confidence: float
) -> tuple[float, float]:
    """Compute where the coverage of a class lies by chance alone, after one fit on so many films.

    The promise holds on average over fits; one fit on few films keeps more or less than it. Films
    of one patient are taken to be alike, so that the fit is as sure as one on the patients.

    Args:
        films: Calibration films of the class.
        patients: Who they show, 1 to `films`.
        coverage: Asked for, 0 to 1.
        confidence: Share of the fits that lie within, 0 to 1.

    Returns:
        Lower and upper end; 1 and 1 where the class is in every set.

    References:
        Vovk 2012: of independent films, the coverage of one fit is beta distributed.

    >>> low, high = compute_expected_coverage(75, patients=75, coverage=0.9, confidence=0.95)
    >>> f"{low:.3f} to {high:.3f}"
    '0.834 to 0.962'
    """
    given_up = _count_given_up(films, coverage)
    if not given_up:
        return 1.0, 1.0
    tail = (1 - confidence) / 2
    worth = patients / films
    low, high = stats.beta.ppf([tail, 1 - tail], worth * (films + 1 - given_up), worth * given_up)
    return float(low), float(high)


def build_prediction_sets(probabilities: _Array, thresholds: _Array) -> NDArray[np.bool_]:
    """Say which classes belong to each film's set, (films, classes); a set may be empty.

    >>> build_prediction_sets(np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([0.6, 0.4])).tolist()
    [[True, False], [False, True]]
    """
    sets: NDArray[np.bool_] = probabilities >= thresholds
    return sets


def _count_given_up(films: int, coverage: float) -> int:
    return math.floor((films + 1) * (1 - coverage) + _ROUNDING)
