"""How surely the spread of a number is known: degrees of freedom from what each patient does to it.

Student's t with n - 1 degrees of freedom is right where the patients' influences are about normal.
An area under the ROC curve of 0.99 rests on the handful of patients who are mistaken: a sample that
holds too few of them has too high a value and too small a spread at once, and n says nothing of it.
The kurtosis of the influences does: it tells how much an estimated variance varies itself. And
where one patient has thirty films and most have one, n patients are worth fewer even ones.

References:
    Satterthwaite 1946, for a sum of variances. Efron and Stein 1981, for influences by leaving out.
    Kish 1965, for the worth of groups of uneven size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LEAST_FREEDOM",
    "LEFT_OUT_AT_MOST",
    "choose_left_out",
    "compute_freedom",
    "count_even_groups",
    "leave_out",
]

LEAST_FREEDOM = 4.0
"""From the kurtosis never fewer: of a hundred patients, it is itself known badly. In drawn data
this changes no coverage by more than 0.001, and spares a few intervals from being twice as wide."""

LEFT_OUT_AT_MOST = 200
"""Groups of a stratum that are left out in turn; of more, so many are drawn by lot."""

_NORMAL_KURTOSIS = 3.0


def choose_left_out(
    stratum: NDArray[np.intp], *, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Choose the groups that are left out in turn: never one that is alone in its stratum.

    Args:
        stratum: Of each group, (groups,).
        generator: Draws, where there are more than `LEFT_OUT_AT_MOST`.

    Returns:
        Their numbers, ascending.
    """
    chosen: list[NDArray[np.intp]] = [np.zeros(0, dtype=np.intp)]
    for number in np.unique(stratum):
        members = np.flatnonzero(stratum == number)
        if len(members) > LEFT_OUT_AT_MOST:
            members = generator.choice(members, LEFT_OUT_AT_MOST, replace=False)
        if len(members) > 1:
            chosen.append(members)
    return np.sort(np.concatenate(chosen))


def leave_out(
    index: NDArray[np.intp],
    stratum: NDArray[np.intp],
    *,
    groups: NDArray[np.intp],
    at_once: int,
) -> Iterator[NDArray[np.float64]]:
    """Leave each of some groups out; the others of its stratum stand for it.

    Args:
        index: Group of each film, (films,).
        stratum: Of each group, (groups,).
        groups: Numbers of those left out.
        at_once: Rows in memory at once.

    Yields:
        How much each film counts, (rows, films), in blocks; a row a group.
    """
    size = np.bincount(stratum)[stratum]
    for first in range(0, len(groups), at_once):
        block = groups[first : first + at_once]
        counts = np.ones((len(block), len(stratum)))
        for row, group in enumerate(block):
            counts[row, stratum == stratum[group]] = size[group] / (size[group] - 1)
            counts[row, group] = 0.0
        yield np.take(counts, index, axis=1)


def compute_freedom(
    values: NDArray[np.float64], *, stratum: NDArray[np.intp], sizes: NDArray[np.intp]
) -> float:
    """Compute the degrees of freedom of the spread of a number.

    Args:
        values: The number without each of some groups, (rows,); NaN where it is not defined.
        stratum: Stratum of each of these groups, (rows,).
        sizes: Groups of each stratum, (strata,).

    Returns:
        `LEAST_FREEDOM` and up; infinite where no group matters.
    """
    total = uncertainty = 0.0
    for number in np.unique(stratum):
        own = values[(stratum == number) & ~np.isnan(values)]
        if len(own) < 2:
            continue
        squares = (own - own.mean()) ** 2
        spread = float(squares.mean())
        if spread <= 0:
            continue
        count = float(sizes[number])
        excess = max(float((squares**2).mean()) / spread**2 - _NORMAL_KURTOSIS, 0.0)
        # Leaving one of n out moves a mean by its deviation / (n - 1); the variance of the mean is
        # the mean square of the deviations / (n - 1).
        variance = spread * (count - 1)
        total += variance
        uncertainty += variance**2 * (1 / (count - 1) + excess / (2 * count))
    return max(total**2 / uncertainty, LEAST_FREEDOM) if uncertainty > 0 else float("inf")


def count_even_groups(index: NDArray[np.intp]) -> float:
    """Count how many groups of even size these are worth: as many as there are, or fewer.

    Args:
        index: Group of each film, (films,), at least one film.
    """
    sizes = np.bincount(index).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())
