"""Net benefit: whether acting on the probabilities does more good than acting on all or on none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.classification import Judged
from cxresnet.metrics.statistic import Compute, Remembered, Statistic, divide

__all__ = ["build_net_benefit_statistics", "compute_benefit_of_all"]

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """One column of a table of sums, divided by the number of films."""

    table: Compute
    column: int

    def __call__(self, weights: _Array) -> _Array:
        return divide(self.table(weights)[:, self.column], weights.sum(axis=1))


def build_net_benefit_statistics(
    judged: Judged, class_index: int, *, thresholds: Sequence[float]
) -> tuple[Statistic, ...]:
    """Build the net benefit of acting on films whose probability reaches a threshold.

    It is the share of films acted on rightly, less the share acted on wrongly, weighed by the odds
    of the threshold: who acts from 10 % on takes nine false alarms for one film found.

    Args:
        judged: The films; their probabilities should be calibrated.
        class_index: The class that is acted on.
        thresholds: Above 0 and below 1.

    Returns:
        One a threshold, named "net_benefit/CLASS/NUMBER", at most the share of the class.

    References:
        Vickers and Elkin 2006.
    """
    class_name = judged.class_names[class_index]
    shown = judged.truth == class_index
    limits = np.array(thresholds)
    called = judged.probabilities[:, [class_index]] >= limits
    worth = np.where(shown[:, None], 1.0, -limits / (1 - limits))
    gains = called * worth
    table = Remembered(lambda weights: weights @ gains)
    return tuple(
        Statistic(
            name=f"net_benefit/{class_name}/{number}",
            compute=_Column(table, number),
            parts=(np.ones(len(shown), dtype=bool),),
            undefined="There is no film.",
            scale="real",
        )
        for number in range(len(limits))
    )


def compute_benefit_of_all(prevalence: float, threshold: float) -> float:
    """Compute the net benefit of acting on every film.

    >>> round(compute_benefit_of_all(0.2, 0.1), 4)
    0.1111
    """
    return prevalence - (1 - prevalence) * threshold / (1 - threshold)
