"""The interface between a score and the bootstrap: how to compute it for a resample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Compute = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights (resamples, images), how often each image stands in each resample, to the number in
each resample, (resamples,); NaN where it is not defined."""

Key = str | tuple[str | int, ...]
"""Unique name of a number, for example "accuracy" or ("sensitivity", "covid-19")."""

Scale = Literal["share", "area", "positive", "difference", "agreement", "real"]
"""Where a number can lie: 0 to 1 (with an interval on the scale of log-odds, or, as of an area next
to 1, on a straight one that ends there), above 0, -1 to 1 (a difference of shares, or an agreement
such as Cohen's kappa, which crowds at 1), or anywhere."""


class CachedCompute:
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
        parts: Masks of images, (images,): every part must hold an image or the number is not
            defined, and the part with the fewest patients limits its precision.
            For an area under the ROC curve: the images of the class, and the others.
        undefined: Why the number is not defined where a part is empty, one sentence.
        scale: Where the number can lie.
        is_share_of_images: Whether it is a count of images divided by another: how such a number
            varies follows from its value.
    """

    name: Key
    compute: Compute
    parts: tuple[NDArray[np.bool_], ...]
    undefined: str
    scale: Scale = "share"
    is_share_of_images: bool = False

    @property
    def support(self) -> NDArray[np.bool_]:
        """The images that the number rests on, (images,)."""
        support: NDArray[np.bool_] = np.logical_or.reduce(self.parts)
        return support


def build_mean(name: Key, values: NDArray[np.float64], *, scale: Scale = "share") -> Statistic:
    """Build the mean of one value an image; images whose value is NaN are left out.

    Args:
        name: Of the number.
        values: (images,).
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
        undefined="No image has a value.",
        scale=scale,
        is_share_of_images=bool(np.isin(filled, (0.0, 1.0)).all()),
    )


def compute_value(statistic: Statistic) -> float | None:
    """Compute the number on the images as they are; None where it is not defined."""
    if not all(part.any() for part in statistic.parts):
        return None
    value = float(statistic.compute(np.ones((1, len(statistic.parts[0]))))[0])
    return None if np.isnan(value) else value


def divide(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN, and no warning, where the denominator is 0."""
    undefined = np.full_like(denominator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)
