"""An estimate: a number with its interval and the images and patients that it is based on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from cxresnet.metrics.statistic import Scale


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number as measured, how far it may be off, and how much it rests on.

    Attributes:
        value: The number on the images at hand; None where it is not defined.
        low: Lower end of the interval; None where there is none.
        high: Upper end of the interval.
        n: Images that the number rests on: for a sensitivity, the images of that class.
        groups: Independent groups (patients with their duplicates) among those images.
        reason: Why the value or the interval is missing, one sentence; "" where nothing is.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    reason: str = ""


def format_estimate(
    estimate: Estimate, *, digits: int = 3, signed: bool = False, with_count: bool = False
) -> str:
    """Show a number with its interval: the one way in which tables, messages and cards do it.

    Args:
        estimate: The number.
        digits: Places after the decimal point.
        signed: Also a plus sign, for differences.
        with_count: Also how many images it rests on.

    >>> found = Estimate(value=0.9, low=0.812, high=0.95, n=40, groups=31)
    >>> format_estimate(found)
    '0.900 (0.812–0.950)'
    >>> format_estimate(found, digits=2, with_count=True)
    '0.90 (0.81–0.95, n = 40)'
    >>> format_estimate(Estimate(value=0.01, low=-0.02, high=0.04, n=40, groups=31), signed=True)
    '+0.010 (-0.020 to +0.040)'
    """
    if estimate.value is None:
        return "–"
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign}.{digits}f}"
    notes = [f"n = {estimate.n}"] if with_count else []
    if estimate.low is not None and estimate.high is not None:
        low, high = f"{estimate.low:{sign}.{digits}f}", f"{estimate.high:{sign}.{digits}f}"
        separator = " to " if signed or estimate.low < 0 else "–"
        notes.insert(0, f"{low}{separator}{high}")
    return f"{value} ({', '.join(notes)})" if notes else value


def subtract_estimates(first: Estimate, second: Estimate) -> Estimate:
    """Subtract a share from another that rests on other patients: first minus second.

    The interval follows from the two intervals, so that it is also there where a share is exactly 0
    or 1. Where patients are in both it is too wide rather than too narrow, if they are alike.

    References:
        Newcombe 1998 (Statistics in Medicine 17:873), method 10, with our intervals of a share.

    >>> half = Estimate(value=0.5, low=0.46, high=0.54, n=60, groups=60)
    >>> none = Estimate(value=0.0, low=0.0, high=0.03, n=90, groups=90)
    >>> format_estimate(subtract_estimates(half, none), digits=2, signed=True)
    '+0.50 (+0.45 to +0.54)'
    """
    n, groups = first.n + second.n, first.groups + second.groups
    if first.value is None or second.value is None:
        reason = first.reason or second.reason
        return Estimate(value=None, low=None, high=None, n=n, groups=groups, reason=reason)
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        reason = first.reason or second.reason
        return Estimate(value=value, low=None, high=None, n=n, groups=groups, reason=reason)
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value=value, low=value - below, high=value + above, n=n, groups=groups)


def correct_confidence(confidence: float, comparisons: int) -> float:
    """Correct the confidence of one interval for several that are looked at together (Bonferroni).

    Args:
        confidence: That all intervals together hold, 0 to 1.
        comparisons: How many there are.

    >>> round(correct_confidence(0.95, 5), 4)
    0.99
    """
    return 1 - (1 - confidence) / max(1, comparisons)


# Intervals from a number and its standard error that stay within the possible range.


_NOTHING = 1e-12
_LARGEST_EXPONENT = 700.0

_Interval = tuple[float, float]


def compute_interval(
    value: float,
    error: float,
    *,
    groups: int,
    degrees_of_freedom: float,
    scale: Scale,
    confidence: float,
) -> _Interval | tuple[None, None]:
    """Compute the interval of a number, with Student's t on the scale that suits it.

    Args:
        value: The number.
        error: Its standard error, 0 and up.
        groups: Independent groups that it rests on, 2 and up.
        degrees_of_freedom: Degrees of freedom of the error, 1 and up; groups - 1 where all count
            alike.
        scale: Where it can lie.
        confidence: Coverage aimed at, 0 to 1.

    Returns:
        Lower and upper end; (None, None) where the number does not vary. A share or area of exactly
        0 or 1 does not vary either, and gets the exact binomial bound over groups (Clopper and
        Pearson).
    """
    tail = (1 - confidence) / 2
    if scale in {"share", "area"} and value in {0.0, 1.0}:
        bound = tail ** (1 / groups)
        return (bound, 1.0) if value == 1.0 else (0.0, 1 - bound)
    if error < _NOTHING:
        return None, None
    reach = float(stats.t.ppf(1 - tail, degrees_of_freedom)) * error
    return _REACH[scale](value, reach)


def _reach_share(value: float, reach: float) -> _Interval:
    odds = value / (1 - value)
    factor = math.exp(min(reach / (value * (1 - value)), _LARGEST_EXPONENT))
    return odds / (odds + factor), odds * factor / (1 + odds * factor)


def _reach_area(value: float, reach: float) -> _Interval:
    return max(0.0, value - reach), min(1.0, value + reach)


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
    "area": _reach_area,
    "positive": _reach_positive,
    "difference": _reach_difference,
    "agreement": _reach_agreement,
    "real": _reach_real,
}
