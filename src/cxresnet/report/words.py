"""Numbers as people read them: never without interval and n."""

from __future__ import annotations

from cxresnet.metrics.estimate import Estimate

__all__ = [
    "show_bytes",
    "show_count",
    "show_decimal",
    "show_decimal_range",
    "show_duration",
    "show_percent",
    "show_percent_range",
    "show_share",
]

_NARROW_SPACE = "\u202f"
_DASH = "–"


def show_count(count: int) -> str:
    """Show a count, in groups of three.

    >>> show_count(1124) == f"1{_NARROW_SPACE}124"
    True
    """
    return f"{count:,}".replace(",", _NARROW_SPACE)


def show_share(share: float) -> str:
    """Show a share, 0 to 1, as a percentage with one place.

    >>> show_share(0.5) == f"50.0{_NARROW_SPACE}%"
    True
    """
    return f"{100 * share:.1f}{_NARROW_SPACE}%"


def show_percent(estimate: Estimate) -> str:
    """Show the value of a share as a percentage; a dash where it is not defined."""
    return _DASH if estimate.value is None else show_share(estimate.value)


def show_percent_range(estimate: Estimate) -> str:
    """Show the interval of a share in percent; says so where there is none.

    >>> show_percent_range(Estimate(value=0.9, low=0.8, high=0.95, n=10, groups=5))
    '80.0–95.0'
    """
    if estimate.low is None or estimate.high is None:
        return _explain_missing(estimate)
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def show_decimal(estimate: Estimate) -> str:
    """Show the value of a number with three places; a dash where it is not defined."""
    return _DASH if estimate.value is None else f"{estimate.value:.3f}"


def show_decimal_range(estimate: Estimate) -> str:
    """Show the interval of a number with three places; says so where there is none."""
    if estimate.low is None or estimate.high is None:
        return _explain_missing(estimate)
    separator = " to " if estimate.low < 0 else "–"
    return f"{estimate.low:.3f}{separator}{estimate.high:.3f}"


def _explain_missing(estimate: Estimate) -> str:
    return "not defined here" if estimate.value is None else "no interval"


def show_duration(seconds: float) -> str:
    """Show a duration in the unit that suits it.

    >>> show_duration(75)
    '1 min 15 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def show_bytes(count: int) -> str:
    """Show a file size.

    >>> show_bytes(1_500_000)
    '1.5 MB'
    """
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
