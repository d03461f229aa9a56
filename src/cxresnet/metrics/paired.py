"""Two judges of the same films: is the difference more than luck?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["DeLong", "McNemar", "compute_delong", "compute_mcnemar"]

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Films on which exactly one of two judges is right.

    Attributes:
        only_first: Only the first is right.
        only_second: Only the second is right.
        p_value: Exact and two-sided; 1 where there is no such film.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """Areas under two ROC curves of the same films.

    Attributes:
        first: Area of the first, 0 to 1.
        second: Area of the second.
        difference: First minus second.
        error: Standard error of the difference.
        p_value: Two-sided; 1 where both rank all pairs alike, and None where there is no error to
            compare a difference with.
    """

    first: float
    second: float
    difference: float
    error: float
    p_value: float | None


def compute_mcnemar(right_first: NDArray[np.bool_], right_second: NDArray[np.bool_]) -> McNemar:
    """Compare how often two judges are right; each film counts as independent of the others.

    Args:
        right_first: Whether the first is right, (films,).
        right_second: The same of the second.

    References:
        McNemar 1947, with the binomial distribution itself instead of its approximation.
    """
    first = int((right_first & ~right_second).sum())
    second = int((right_second & ~right_first).sum())
    apart = first + second
    p_value = float(stats.binomtest(first, apart, 0.5).pvalue) if apart else 1.0
    return McNemar(only_first=first, only_second=second, p_value=p_value)


def compute_delong(
    positive: NDArray[np.bool_], first: _Array, second: _Array, *, groups: NDArray[np.str_]
) -> DeLong | None:
    """Compare the areas under two ROC curves; films of one group are not independent.

    Args:
        positive: Whether a film shows the class, (films,).
        first: Scores of the first judge, (films,).
        second: Scores of the second.
        groups: One label a film, (films,); all different gives DeLong's own test.

    Returns:
        None where either side of the class comes from fewer than two groups.

    References:
        DeLong et al. 1988; for groups Obuchowski 1997, equation 4, which is DeLong's where each
        group is one film. Ranks instead of pairs: Sun and Xu 2014.
    """
    _, group = np.unique(groups, return_inverse=True)
    if any(len(np.unique(group[side])) < 2 for side in (positive, ~positive)):
        return None
    areas: list[float] = []
    sums: list[list[_Array]] = []
    for scores in (first, second):
        area, placements = _compute_placements(positive, scores)
        excess = (placements - area).astype(np.float64)
        areas.append(area)
        sums.append([_sum_by_group(excess, group, side) for side in (positive, ~positive)])
    error = float(np.sqrt(_compute_variance(sums, positive=positive, group=group)))
    difference = areas[0] - areas[1]
    return DeLong(
        first=areas[0],
        second=areas[1],
        difference=difference,
        error=error,
        p_value=_compute_p_value(difference, error),
    )


def _sum_by_group(values: _Array, group: NDArray[np.intp], side: NDArray[np.bool_]) -> _Array:
    sums = np.bincount(group, values * side, minlength=int(group.max()) + 1)
    return sums.astype(np.float64)


def _compute_placements(positive: NDArray[np.bool_], scores: _Array) -> tuple[float, _Array]:
    """Compute the area, and for each film the share of the other side that it is told from."""
    count, others = int(positive.sum()), int((~positive).sum())
    ranks = stats.rankdata(scores)
    placements = np.empty(len(scores))
    own = stats.rankdata(scores[positive])
    placements[positive] = (ranks[positive] - own) / others
    own = stats.rankdata(scores[~positive])
    placements[~positive] = 1 - (ranks[~positive] - own) / count
    return float(placements[positive].mean()), placements


def _compute_variance(
    sums: list[list[_Array]], *, positive: NDArray[np.bool_], group: NDArray[np.intp]
) -> float:
    """Compute the variance of the difference from sums over groups, of both judges and sides."""
    shown, rest = (sums[0][side] - sums[1][side] for side in (0, 1))
    counts = [int(side.sum()) for side in (positive, ~positive)]
    number = [len(np.unique(group[side])) for side in (positive, ~positive)]
    everyone = len(np.unique(group))
    variances = [
        number[side] / (number[side] - 1) * float(values @ values) / counts[side] ** 2
        for side, values in enumerate((shown, rest))
    ]
    shared = everyone / (everyone - 1) * float(shown @ rest) / (counts[0] * counts[1])
    return max(sum(variances) + 2 * shared, 0.0)


def _compute_p_value(difference: float, error: float) -> float | None:
    if error > 1e-12:
        return float(2 * stats.norm.sf(abs(difference) / error))
    return 1.0 if abs(difference) < 1e-12 else None
