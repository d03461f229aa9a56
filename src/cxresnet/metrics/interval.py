"""From a number and its standard error to an interval that stays where the number can lie."""

from __future__ import annotations

import math

from scipy import stats

from cxresnet.metrics.statistic import Scale

__all__ = ["compute_interval"]

_NOTHING = 1e-12
_LARGEST_EXPONENT = 700.0

_Interval = tuple[float, float]


def compute_interval(
    value: float,
    error: float,
    *,
    groups: int,
    freedom: float,
    scale: Scale,
    confidence: float,
) -> _Interval | tuple[None, None]:
    """Compute the interval of a number, with Student's t on the scale that suits it.

    Args:
        value: The number.
        error: Its standard error, 0 and up.
        groups: Independent groups that it rests on, 2 and up.
        freedom: Degrees of freedom of the error, 1 and up; groups - 1 where all count alike.
        scale: Where it can lie.
        confidence: Coverage aimed at, 0 to 1.

    Returns:
        Lower and upper end; (None, None) where the number does not vary. A share of exactly 0 or 1
        does not vary either, and gets the exact binomial bound over groups (Clopper and Pearson).
    """
    tail = (1 - confidence) / 2
    if scale == "share" and value in {0.0, 1.0}:
        bound = tail ** (1 / groups)
        return (bound, 1.0) if value == 1.0 else (0.0, 1 - bound)
    if error < _NOTHING:
        return None, None
    reach = float(stats.t.ppf(1 - tail, freedom)) * error
    return _REACH[scale](value, reach)


def _reach_share(value: float, reach: float) -> _Interval:
    odds = value / (1 - value)
    factor = math.exp(min(reach / (value * (1 - value)), _LARGEST_EXPONENT))
    return odds / (odds + factor), odds * factor / (1 + odds * factor)


def _reach_positive(value: float, reach: float) -> _Interval:
    factor = math.exp(min(reach / value, _LARGEST_EXPONENT))
    return value / factor, value * factor


def _reach_difference(value: float, reach: float) -> _Interval:
    return max(-1.0, value - reach), min(1.0, value + reach)


def _reach_agreement(value: float, reach: float) -> _Interval:
    middle, half = math.atanh(value), reach / (1 - value**2)
    return math.tanh(middle - half), math.tanh(middle + half)


def _reach_real(value: float, reach: float) -> _Interval:
    return value - reach, value + reach


_REACH = {
    "share": _reach_share,
    "positive": _reach_positive,
    "difference": _reach_difference,
    "agreement": _reach_agreement,
    "real": _reach_real,
}
