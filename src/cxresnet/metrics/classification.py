"""Scores of a classifier: pure functions of truth, decisions and probabilities.

Every score is a `Statistic`: it can be computed for the films as they are and for any films drawn
again, by one and the same code.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.ranking import Auroc, AveragePrecision
from cxresnet.metrics.statistic import Compute, Remembered, Statistic, divide

__all__ = [
    "CLASS_SCORES",
    "HEADLINE_SCORES",
    "Judged",
    "build_class_statistics",
    "build_headline_statistics",
    "build_share",
    "compute_confusion",
]

CLASS_SCORES = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "average_precision")
"""Names that `build_class_statistics` gives, in its order."""

HEADLINE_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
"""Names that `build_headline_statistics` gives, in its order."""

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Films, what they show, and what was said about them.

    Attributes:
        class_names: In the order of the numbers below.
        truth: True class of each film, (films,), int.
        predicted: Class decided for each film, (films,), int.
        probabilities: (films, classes), 0 to 1; each row sums to 1.
    """

    class_names: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: _Array

    def __post_init__(self) -> None:
        expected = (len(self.truth), len(self.class_names))
        if self.probabilities.shape != expected or self.predicted.shape != self.truth.shape:
            raise ValueError(
                f"expected probabilities of shape {expected} and as many decisions, got "
                f"{self.probabilities.shape} and {self.predicted.shape}"
            )

    @functools.cached_property
    def cells(self) -> Remembered:
        """From weights to the confusion matrix, (resamples, classes²), true class first."""
        count = len(self.class_names)
        place = self.truth * count + self.predicted
        member = (place[:, None] == np.arange(count**2)).astype(np.float64)
        return Remembered(lambda weights: weights @ member)

    @functools.cached_property
    def by_class(self) -> tuple[tuple[Statistic, ...], ...]:
        """The scores of every class, built once, so that what rests on them is computed once."""
        return tuple(_build_class(self, index) for index in range(len(self.class_names)))

    def select(self, chosen: NDArray[np.bool_]) -> Judged:
        """Take some of the films; `chosen` is a mask, (films,)."""
        return Judged(
            class_names=self.class_names,
            truth=self.truth[chosen],
            predicted=self.predicted[chosen],
            probabilities=self.probabilities[chosen],
        )


@dataclass(frozen=True)
class _Share:
    """A sum over films divided by another sum; both arrays are (films,)."""

    numerator: _Array
    denominator: _Array

    def __call__(self, weights: _Array) -> _Array:
        return divide(weights @ self.numerator, weights @ self.denominator)


@dataclass(frozen=True)
class _CellShare:
    """A sum of cells of the confusion matrix divided by another sum.

    Attributes:
        cells: From weights to the cells, (resamples, classes²), true class first.
        numerator: Share of each cell that counts, (classes²,).
        denominator: Likewise.
    """

    cells: Compute
    numerator: _Array
    denominator: _Array

    def __call__(self, weights: _Array) -> _Array:
        cells = self.cells(weights)
        return divide(cells @ self.numerator, cells @ self.denominator)


@dataclass(frozen=True)
class _F1:
    """Harmonic mean of sensitivity and predictive value; not defined without films of the class."""

    cells: Compute
    shown: _Array
    called: _Array

    def __call__(self, weights: _Array) -> _Array:
        cells = self.cells(weights)
        shown = cells @ self.shown
        found = cells @ (self.shown * self.called)
        score = divide(2 * found, shown + cells @ self.called)
        return np.where(shown > 0, score, np.nan)


@dataclass(frozen=True)
class _Mean:
    """Plain mean of several numbers; not defined where one of them is not."""

    parts: tuple[Compute, ...]

    def __call__(self, weights: _Array) -> _Array:
        mean: _Array = np.mean([part(weights) for part in self.parts], axis=0)
        return mean


def compute_confusion(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], *, class_count: int
) -> NDArray[np.int64]:
    """Count films by true class (row) and decided class (column), (classes, classes)."""
    cells = np.bincount(truth * class_count + predicted, minlength=class_count**2)
    return cells.reshape(class_count, class_count).astype(np.int64)


def build_share(
    name: str, *, part: NDArray[np.bool_], whole: NDArray[np.bool_], undefined: str
) -> Statistic:
    """Build the share of the films `whole` that are also in `part`; masks of (films,)."""
    compute = _Share((part & whole).astype(np.float64), whole.astype(np.float64))
    return Statistic(
        name=name,
        compute=compute,
        parts=(whole,),
        undefined=undefined,
        is_share_of_films=True,
    )


def build_class_statistics(judged: Judged, class_index: int) -> tuple[Statistic, ...]:
    """Build the scores of one class against the rest.

    Returns:
        In the order of `CLASS_SCORES`; names are "score/class", for example "f1/pneumonia".
    """
    return judged.by_class[class_index]


def _build_class(judged: Judged, class_index: int) -> tuple[Statistic, ...]:
    class_name = judged.class_names[class_index]
    shown = judged.truth == class_index
    probabilities = judged.probabilities[:, class_index]
    absent = f"No film shows {class_name}."
    alone = f"No film shows anything but {class_name}."
    one_sided = absent if not shown.any() else alone
    return (
        *_build_cell_shares(judged, class_index, absent=absent, alone=alone),
        _build_f1(judged, class_index, undefined=absent),
        Statistic(
            name=f"auroc/{class_name}",
            compute=Remembered(Auroc(shown, probabilities)),
            parts=(shown, ~shown),
            undefined=one_sided,
        ),
        Statistic(
            name=f"average_precision/{class_name}",
            compute=AveragePrecision(shown, probabilities),
            parts=(shown, ~shown),
            undefined=one_sided,
        ),
    )


def _build_cell_shares(
    judged: Judged, class_index: int, *, absent: str, alone: str
) -> tuple[Statistic, ...]:
    """Build sensitivity, specificity and the predictive values from the confusion matrix."""
    class_name = judged.class_names[class_index]
    shown, called = judged.truth == class_index, judged.predicted == class_index
    true_cell, called_cell = _mark_cells(len(judged.class_names), class_index)
    rows = (
        ("sensitivity", called_cell, true_cell, shown, absent),
        ("specificity", ~called_cell, ~true_cell, ~shown, alone),
        ("ppv", true_cell, called_cell, called, f"No film is called {class_name}."),
        ("npv", ~true_cell, ~called_cell, ~called, f"Every film is called {class_name}."),
    )
    return tuple(
        Statistic(
            name=f"{name}/{class_name}",
            compute=_CellShare(
                judged.cells, (part & whole).astype(np.float64), whole.astype(np.float64)
            ),
            parts=(films,),
            undefined=undefined,
            is_share_of_films=True,
        )
        for name, part, whole, films, undefined in rows
    )


def _mark_cells(count: int, class_index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the cells of films that show a class, and of films that are called it, (classes²,)."""
    true, called = np.divmod(np.arange(count**2), count)
    return true == class_index, called == class_index


def build_headline_statistics(
    judged: Judged, *, classes: Sequence[int] | None = None
) -> tuple[Statistic, ...]:
    """Build the scores that stand for the whole.

    Args:
        judged: The films.
        classes: Classes that the means run over; None for all. A mean is not defined where one of
            them is absent.

    Returns:
        In the order of `HEADLINE_SCORES`.
    """
    chosen = range(len(judged.class_names)) if classes is None else classes
    everyone = np.ones(len(judged.truth), dtype=bool)
    count = len(judged.class_names)
    by_class = [
        dict(zip(CLASS_SCORES, build_class_statistics(judged, index), strict=True))
        for index in chosen
    ]
    means = (
        ("balanced_accuracy", "sensitivity"),
        ("macro_f1", "f1"),
        ("macro_auroc", "auroc"),
    )
    return (
        Statistic(
            name="accuracy",
            compute=_CellShare(judged.cells, np.eye(count).ravel(), np.ones(count**2)),
            parts=(everyone,),
            undefined="There is no film.",
            is_share_of_films=True,
        ),
        *(_build_mean(name, [scores[part] for scores in by_class]) for name, part in means),
    )


def _build_f1(judged: Judged, class_index: int, *, undefined: str) -> Statistic:
    """Build F1; it rests on the films that show the class or are called it."""
    shown, called = judged.truth == class_index, judged.predicted == class_index
    true_cell, called_cell = _mark_cells(len(judged.class_names), class_index)
    compute = _F1(judged.cells, true_cell.astype(np.float64), called_cell.astype(np.float64))
    return Statistic(
        name=f"f1/{judged.class_names[class_index]}",
        compute=compute,
        parts=(shown | called if shown.any() else shown,),
        undefined=undefined,
    )


def _build_mean(name: str, statistics: Sequence[Statistic]) -> Statistic:
    """Build the mean of several scores; the reasons of those that are not defined are joined."""
    missing = [
        statistic.undefined
        for statistic in statistics
        if not all(part.any() for part in statistic.parts)
    ]
    return Statistic(
        name=name,
        compute=_Mean(tuple(statistic.compute for statistic in statistics)),
        parts=tuple(part for statistic in statistics for part in statistic.parts),
        undefined=" ".join(dict.fromkeys(missing)),
    )
