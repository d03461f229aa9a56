"""Mean and spread of scores over trainings that differ in seed or fold: how much is luck?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Scores", "Spread", "compute_spread"]

Scores = Mapping[str, float | None]
"""From the name of a score to its value; None where it is not defined."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over `n` trainings; sd is None for a single one."""

    mean: float
    sd: float | None
    n: int


def compute_spread(trainings: Sequence[Scores]) -> dict[str, Spread]:
    """Compute mean and spread of each score that is defined in every training.

    >>> compute_spread([{"accuracy": 0.8}, {"accuracy": 0.9}])["accuracy"].mean
    0.85
    """
    spread = {}
    for name in trainings[0]:
        values = [value for one in trainings if (value := one[name]) is not None]
        if len(values) == len(trainings):
            sd = statistics.stdev(values) if len(values) > 1 else None
            spread[name] = Spread(round(statistics.fmean(values), 12), sd, len(values))
    return spread
