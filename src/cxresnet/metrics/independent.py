"""A number less another that rests on other patients; for the same patients see `build_lift`."""

from __future__ import annotations

import math

from cxresnet.metrics.estimate import Estimate

__all__ = ["compare_independent"]


def compare_independent(one: Estimate, other: Estimate) -> Estimate:
    """Compute one number minus another from other films, with the interval of the difference.

    References:
        Zou and Donner 2008 (MOVER): the interval follows from those of the two numbers.
    """
    n, groups = one.n + other.n, min(one.groups, other.groups)
    if one.value is None or other.value is None:
        reason = one.reason or other.reason
        return Estimate(value=None, low=None, high=None, n=n, groups=groups, reason=reason)
    gap = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        reason = one.reason or other.reason
        return Estimate(value=gap, low=None, high=None, n=n, groups=groups, reason=reason)
    return Estimate(
        value=gap,
        low=gap - math.hypot(one.value - one.low, other.high - other.value),
        high=gap + math.hypot(one.high - one.value, other.value - other.low),
        n=n,
        groups=groups,
    )
