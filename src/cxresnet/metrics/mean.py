"""The mean of a number over patients, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.interval import compute_interval
from cxresnet.metrics.statistic import Scale

__all__ = ["estimate_mean"]


def estimate_mean(
    values: Sequence[float] | NDArray[np.floating], *, scale: Scale, confidence: float = 0.95
) -> Estimate:
    """Estimate the mean of one number a patient.

    Args:
        values: One a patient, so that they are independent; NaN where it is not defined, which is
            left out.
        scale: Where the number can lie.
        confidence: Coverage aimed at, 0 to 1.

    Returns:
        With Student's t; without interval where there are fewer than two, or all are equal.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    count = len(known)
    if not count:
        return Estimate(
            value=None, low=None, high=None, n=0, groups=0, reason="It is known of no film."
        )
    value = float(known.mean())
    if count == 1:
        return Estimate(
            value=value, low=None, high=None, n=1, groups=1, reason="It is known of one film only."
        )
    error = float(known.std(ddof=1)) / math.sqrt(count)
    low, high = compute_interval(
        value, error, groups=count, freedom=count - 1, scale=scale, confidence=confidence
    )
    reason = "" if low is not None else "It is the same on every film."
    return Estimate(value=value, low=low, high=high, n=count, groups=count, reason=reason)
