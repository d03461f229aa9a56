"""Numbers of the confusion matrix as a whole: Cohen's kappa, and the share of each cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.classification import Judged, build_share
from cxresnet.metrics.statistic import Compute, Statistic, divide

__all__ = ["build_confusion_statistics", "build_kappa"]

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
        # Where all films are of one class and are called it, there is nothing to agree about.
        return divide(agreed - by_chance, np.where(by_chance < 1, 1 - by_chance, 0.0))


def build_kappa(judged: Judged) -> Statistic:
    """Build "cohens_kappa" of label and decision: 0 is what guessing gives, 1 is perfect.

    References:
        Cohen 1960, unweighted.
    """
    return Statistic(
        name="cohens_kappa",
        compute=_Kappa(judged.cells, len(judged.class_names)),
        parts=(np.ones(len(judged.truth), dtype=bool),),
        undefined="All films are of one class and are called it."
        if len(judged.truth)
        else "There is no film.",
        scale="agreement",
    )


def build_confusion_statistics(judged: Judged) -> tuple[Statistic, ...]:
    """Build the share of each true class (row) that is called each class (column), row by row.

    Names are "confusion/TRUE/CALLED", both as numbers.
    """
    count = len(judged.class_names)
    return tuple(
        build_share(
            f"confusion/{true}/{called}",
            part=judged.predicted == called,
            whole=judged.truth == true,
            undefined=f"No film shows {judged.class_names[true]}.",
        )
        for true in range(count)
        for called in range(count)
    )
