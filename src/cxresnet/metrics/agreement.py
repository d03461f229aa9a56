"""Scores of the whole confusion matrix: Cohen's kappa, and the share of each cell."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.classification import ClassifiedImages, build_share
from cxresnet.metrics.statistic import Compute, Statistic, divide

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Kappa:
    """Agreement above the agreement that the margins alone would give."""

    cells: Compute
    count: int

    def __call__(self, weights: _Array) -> _Array:
        table = self.cells(weights).reshape(-1, self.count, self.count)
        total = table.sum(axis=(1, 2))
        agreed = divide(np.einsum("ijj->i", table), total)
        by_chance = divide(np.einsum("ij,ij->i", table.sum(axis=2), table.sum(axis=1)), total**2)
        # Where all images are of one class and are called it, there is nothing to agree about.
        return divide(agreed - by_chance, np.where(by_chance < 1, 1 - by_chance, 0.0))


def build_kappa(evaluated: ClassifiedImages) -> Statistic:
    """Build "cohens_kappa" of label and decision: 0 is what guessing gives, 1 is perfect.

    References:
        Cohen 1960, unweighted.
    """
    return Statistic(
        name="cohens_kappa",
        compute=_Kappa(evaluated.cells, len(evaluated.class_names)),
        parts=(np.ones(len(evaluated.truth), dtype=bool),),
        undefined="All images are of one class and are predicted as it."
        if len(evaluated.truth)
        else "There is no image.",
        scale="agreement",
    )


def build_confusion_statistics(evaluated: ClassifiedImages) -> tuple[Statistic, ...]:
    """Build the share of each true class (row) that is called each class (column), row by row.

    Names are ("confusion", TRUE, PREDICTED), with the classes as numbers.
    """
    count = len(evaluated.class_names)
    return tuple(
        build_share(
            ("confusion", true, column),
            part=evaluated.predicted == column,
            whole=evaluated.truth == true,
            undefined=f"No image shows {evaluated.class_names[true]}.",
        )
        for true in range(count)
        for column in range(count)
    )


# Mean and spread of scores over trainings that differ in seed or fold.


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
