"""Paired comparison of two classifiers on the same images: is the difference significant?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Statistic

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Images on which exactly one of two classifiers is right.

    Attributes:
        only_first: Only the first is right.
        only_second: Only the second is right.
        p_value: Exact and two-sided; 1 where there is no such image.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class DeLong:
    """Areas under two ROC curves of the same images.

    Attributes:
        first: Area of the first, 0 to 1.
        second: Area of the second.
        difference: First minus second.
        error: Standard error of the difference.
        positive_groups: Groups with an image that shows the class.
        negative_groups: Groups with an image that does not.
        p_value: Two-sided; 1 where both rank all pairs alike, and None where there is no error to
            compare a difference with.
    """

    first: float
    second: float
    difference: float
    error: float
    positive_groups: int
    negative_groups: int
    p_value: float | None


def compute_mcnemar(first_correct: NDArray[np.bool_], second_correct: NDArray[np.bool_]) -> McNemar:
    """Compare how often two classifiers are right; each image counts as independent of the others.

    Args:
        first_correct: Whether the first is right, (images,).
        second_correct: The same of the second.

    References:
        McNemar 1947, with the binomial distribution itself instead of its approximation.
    """
    first = int((first_correct & ~second_correct).sum())
    second = int((second_correct & ~first_correct).sum())
    discordant = first + second
    p_value = float(stats.binomtest(first, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_first=first, only_second=second, p_value=p_value)


def compute_delong(
    positive: NDArray[np.bool_], first: _Array, second: _Array, *, groups: NDArray[np.str_]
) -> DeLong | None:
    """Compare the areas under two ROC curves; images of one group are not independent.

    Args:
        positive: Whether an image shows the class, (images,).
        first: Scores of the first classifier, (images,).
        second: Scores of the second.
        groups: One label an image, (images,); all different gives DeLong's own test.

    Returns:
        None where either side of the class comes from fewer than two groups.

    References:
        DeLong et al. 1988; for groups Obuchowski 1997, equation 4, which is DeLong's where each
        group is one image. Ranks instead of pairs: Sun and Xu 2014.
    """
    _, group = np.unique(groups, return_inverse=True)
    numbers = [len(np.unique(group[side])) for side in (positive, ~positive)]
    if min(numbers) < 2:
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
        positive_groups=numbers[0],
        negative_groups=numbers[1],
        p_value=_compute_p_value(difference, error),
    )


def _sum_by_group(values: _Array, group: NDArray[np.intp], side: NDArray[np.bool_]) -> _Array:
    sums = np.bincount(group, values * side)
    return sums.astype(np.float64)


def _compute_placements(positive: NDArray[np.bool_], scores: _Array) -> tuple[float, _Array]:
    """Compute the area, and for each image the share of the other side below or above it."""
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
    """Compute the variance of the difference from group sums of both classifiers and sides."""
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


# How well one pair of classes is separated, whatever the other classes.


_SMALLEST = np.finfo(np.float64).tiny


def build_pair_statistics(evaluated: ClassifiedImages) -> tuple[Statistic, ...]:
    """Build the area under the ROC curve of every pair of classes, on their images alone.

    The score is the ratio of the two probabilities, so that what the network gives to a third class
    does not matter. Names are `auroc_FIRST_vs_SECOND`, in the order of the classes.

    References:
        Hand and Till 2001, who take the mean over all pairs.
    """
    return tuple(
        build_pair_statistic(evaluated, first, second)
        for first, second in itertools.combinations(range(len(evaluated.class_names)), 2)
    )


def build_pair_statistic(evaluated: ClassifiedImages, first: int, second: int) -> Statistic:
    """Build the area under the ROC curve of one pair of classes, numbered as in `class_names`."""
    shows_first, shows_second = evaluated.truth == first, evaluated.truth == second
    logs = np.log(np.maximum(evaluated.probabilities[:, [first, second]], _SMALLEST))
    area = Auroc(shows_second, logs[:, 1] - logs[:, 0])
    names = evaluated.class_names
    return Statistic(
        name=f"auroc_{names[first]}_vs_{names[second]}",
        compute=partial(_compute_among, area, shows_first | shows_second),
        parts=(shows_first, shows_second),
        undefined=f"There are no images of {names[first]} or of {names[second]}.",
    )


def _compute_among(
    area: Auroc, chosen: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    return area(weights * chosen)


# The difference of two numbers over different patients; for the same patients see
# `build_difference`.


def compare_independent(one: Estimate, other: Estimate) -> Estimate:
    """Compute one number minus another from other images, with the interval of the difference.

    References:
        Zou and Donner 2008 (MOVER): the interval follows from those of the two numbers.
    """
    n, groups = one.n + other.n, min(one.groups, other.groups)
    if one.value is None or other.value is None:
        reason = one.reason or other.reason
        return Estimate(value=None, low=None, high=None, n=n, groups=groups, reason=reason)
    difference = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        reason = one.reason or other.reason
        return Estimate(value=difference, low=None, high=None, n=n, groups=groups, reason=reason)
    return Estimate(
        value=difference,
        low=difference - math.hypot(one.value - one.low, other.high - other.value),
        high=difference + math.hypot(one.high - one.value, other.value - other.low),
        n=n,
        groups=groups,
    )
