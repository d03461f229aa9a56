"""A number with its interval and what it rests on: no number travels without them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Estimate"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number as measured, how far it may be off, and how much it rests on.

    Attributes:
        value: The number on the films at hand; None where it is not defined.
        low: Lower end of the interval; None where there is none.
        high: Upper end of the interval.
        n: Films that the number rests on: for a sensitivity, the films of that class.
        groups: Independent groups (patients with their duplicates) among those films.
        reason: Why the value or the interval is missing, one sentence; "" where nothing is.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    reason: str = ""
