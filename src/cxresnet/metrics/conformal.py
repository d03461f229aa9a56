"""Sets of classes instead of one class, wide enough to hold the true one as often as was asked.

The promise is made class by class: of the films of each class, the set holds that class for at
least the coverage asked for, on average over calibration films, as long as the films that are
judged are like those that calibrated. Films from elsewhere are not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["build_prediction_sets", "fit_set_thresholds"]

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
        given_up = math.floor((len(own) + 1) * (1 - coverage) + _ROUNDING)
        if given_up:
            thresholds[index] = own[given_up - 1]
    return thresholds


def build_prediction_sets(probabilities: _Array, thresholds: _Array) -> NDArray[np.bool_]:
    """Say which classes belong to each film's set, (films, classes); a set may be empty.

    >>> build_prediction_sets(np.array([[0.7, 0.3], [0.5, 0.5]]), np.array([0.6, 0.4])).tolist()
    [[True, False], [False, True]]
    """
    sets: NDArray[np.bool_] = probabilities >= thresholds
    return sets
