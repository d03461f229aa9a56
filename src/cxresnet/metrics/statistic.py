"""What the bootstrap needs to know about a number: how to compute it for films drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Compute",
    "Remembered",
    "Scale",
    "Statistic",
    "build_mean",
    "compute_value",
    "divide",
]

Compute = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights (resamples, films), how often each film stands in each resample, to the number in
each resample, (resamples,); NaN where it is not defined."""

Scale = Literal["share", "positive", "difference", "agreement", "real"]
"""Where a number can lie: 0 to 1, above 0, -1 to 1 (a difference of shares, or an agreement such as
Cohen's kappa, which crowds at 1), or anywhere."""


class Remembered:
    """A number or table that several statistics are made of: computed once for the same weights."""

    def __init__(self, compute: Compute) -> None:
        """Wrap a computation; what it gave is kept until other weights come."""
        self._compute = compute
        self._weights: NDArray[np.float64] | None = None
        self._result: NDArray[np.float64] | None = None

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute it, or give what was computed for this very array."""
        if self._result is None or self._weights is not weights:
            self._weights, self._result = weights, self._compute(weights)
        return self._result


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """One number of interest.

    Attributes:
        name: Unique among the numbers estimated together.
        compute: Gives the number for any weights; equal weights give the number itself.
        parts: Masks of films, (films,): every part must hold a film or the number is not defined,
            and the part with the fewest patients says how well the number can be known. For an
            area under the ROC curve: the films of the class, and the others.
        undefined: Why the number is not defined where a part is empty, one sentence.
        scale: Where the number can lie.
        is_share_of_films: Whether it is a count of films divided by another: how such a number
            varies follows from its value.
    """

    name: str
    compute: Compute
    parts: tuple[NDArray[np.bool_], ...]
    undefined: str
    scale: Scale = "share"
    is_share_of_films: bool = False

    @property
    def support(self) -> NDArray[np.bool_]:
        """The films that the number rests on, (films,)."""
        support: NDArray[np.bool_] = np.logical_or.reduce(self.parts)
        return support


def build_mean(name: str, values: NDArray[np.float64], *, scale: Scale = "share") -> Statistic:
    """Build the mean of one value a film; films whose value is NaN are left out.

    Args:
        name: Of the number.
        values: (films,).
        scale: Where a value can lie.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)

    def compute(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return divide(weights @ filled, weights @ known.astype(np.float64))

    return Statistic(
        name=name,
        compute=compute,
        parts=(known,),
        undefined="No film has a value.",
        scale=scale,
        is_share_of_films=bool(np.isin(filled, (0.0, 1.0)).all()),
    )


def compute_value(statistic: Statistic) -> float | None:
    """Compute the number on the films as they are; None where it is not defined."""
    if not all(part.any() for part in statistic.parts):
        return None
    value = float(statistic.compute(np.ones((1, len(statistic.parts[0]))))[0])
    return None if np.isnan(value) else value


def divide(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN, and no warning, where the denominator is 0."""
    undefined = np.full_like(denominator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
