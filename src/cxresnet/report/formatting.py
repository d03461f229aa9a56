"""Numbers as people read them: counts, shares, durations, and estimates with their intervals."""

from __future__ import annotations

import math
from dataclasses import replace

from cxresnet.metrics.estimate import Estimate, format_estimate

_NARROW_SPACE = "\u202f"
_DASH = "–"
_MINUS = "−"


def format_count(count: int) -> str:
    """Show a count, in groups of three.

    >>> format_count(1124) == f"1{_NARROW_SPACE}124"
    True
    """
    return f"{count:,}".replace(",", _NARROW_SPACE)


def format_share(share: float) -> str:
    """Show a share, 0 to 1, as a percentage with one place.

    >>> format_share(0.5) == f"50.0{_NARROW_SPACE}%"
    True
    """
    return f"{100 * share:.1f}{_NARROW_SPACE}%"


def format_percent(estimate: Estimate) -> str:
    """Show the value of a share as a percentage; a dash where it is not defined."""
    return _DASH if estimate.value is None else format_share(estimate.value)


def format_percent_interval(estimate: Estimate) -> str:
    """Show the interval of a share in percent; says so where there is none.

    >>> format_percent_interval(Estimate(value=0.9, low=0.8, high=0.95, n=10, groups=5))
    '80.0–95.0'
    """
    return _take_interval(_scale_to_percent(estimate), digits=1)


def format_percent_estimate(estimate: Estimate) -> str:
    """Show a share in percent with its interval on one line.

    >>> shown = format_percent_estimate(Estimate(value=0.9, low=0.8, high=0.95, n=10, groups=5))
    >>> shown == f"90.0{_NARROW_SPACE}% (80.0–95.0)"
    True
    """
    if estimate.value is None:
        return _DASH
    value, _, interval = format_estimate(_scale_to_percent(estimate), digits=1).partition(" ")
    return " ".join(filter(None, (f"{value}{_NARROW_SPACE}%", interval)))


def format_decimal(estimate: Estimate) -> str:
    """Show the value of a number with three places; a dash where it is not defined."""
    return _DASH if estimate.value is None else f"{estimate.value:.3f}"


def format_decimal_interval(estimate: Estimate) -> str:
    """Show the interval of a number with three places; says so where there is none."""
    return _take_interval(estimate, digits=3)


def format_ratio(estimate: Estimate) -> str:
    """Show the value of a ratio with two significant digits; a dash where it is not defined.

    >>> format_ratio(Estimate(value=80.0, low=9.929, high=691.2, n=40, groups=31))
    '80'
    """
    return _DASH if estimate.value is None else _round_ratio(estimate.value)


def format_ratio_interval(estimate: Estimate) -> str:
    """Show the interval of a ratio with two significant digits; says so where there is none.

    >>> format_ratio_interval(Estimate(value=80.0, low=9.929, high=691.2, n=40, groups=31))
    '9.9–690'
    """
    if estimate.low is None or estimate.high is None:
        return _take_interval(estimate, digits=1)
    return f"{_round_ratio(estimate.low)}–{_round_ratio(estimate.high)}"


def _round_ratio(ratio: float) -> str:
    rounded = float(f"{ratio:.1e}")
    places = max(0, 1 - math.floor(math.log10(rounded))) if rounded > 0 else 1
    return f"{rounded:.{places}f}"


def format_difference(estimate: Estimate) -> str:
    """Show a difference with its interval; each number has a sign.

    >>> format_difference(Estimate(value=0.1, low=-0.05, high=0.25, n=10, groups=5))
    '+0.100 (−0.050 to +0.250)'
    """
    return format_estimate(estimate, signed=True).replace("-", _MINUS)


def _scale_to_percent(estimate: Estimate) -> Estimate:
    value, low, high = (
        None if one is None else 100 * one for one in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low, high=high)


def _take_interval(estimate: Estimate, *, digits: int) -> str:
    """Take the interval out of a number with its interval; say so where there is none."""
    interval = format_estimate(estimate, digits=digits).partition(" (")[2].removesuffix(")")
    return interval or ("not defined here" if estimate.value is None else "no interval")


def format_duration(seconds: float) -> str:
    """Show a duration in the unit that suits it.

    >>> format_duration(75)
    '1 min 15 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def format_bytes(count: int) -> str:
    """Show a file size.

    >>> format_bytes(1_500_000)
    '1.5 MB'
    """
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
