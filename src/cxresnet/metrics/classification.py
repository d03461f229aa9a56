"""Scores of a classifier: pure functions of truth, decisions and probabilities.

Every score is a `Statistic`: it can be computed for the films as they are and for any films drawn
again, by one and the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.ranking import Auroc, AveragePrecision
from cxresnet.metrics.statistic import Statistic, divide

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


@dataclass(frozen=True, kw_only=True)
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
class _F1:
    """Harmonic mean of sensitivity and predictive value; not defined without films of the class."""

    shown: _Array
    called: _Array

    def __call__(self, weights: _Array) -> _Array:
        shown = weights @ self.shown
        found = weights @ (self.shown * self.called)
        score = divide(2 * found, shown + weights @ self.called)
        return np.where(shown > 0, score, np.nan)


@dataclass(frozen=True)
class _Mean:
    """Plain mean of several numbers; not defined where one of them is not."""

    parts: tuple[Callable[[_Array], _Array], ...]

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
    return Statistic(name=name, compute=compute, parts=(whole,), undefined=undefined)


def build_class_statistics(judged: Judged, class_index: int) -> tuple[Statistic, ...]:
    """Build the scores of one class against the rest.

    Returns:
        In the order of `CLASS_SCORES`; names are "score/class", for example "f1/pneumonia".
    """
    class_name = judged.class_names[class_index]
    shown = judged.truth == class_index
    called = judged.predicted == class_index
    probabilities = judged.probabilities[:, class_index]
    absent = f"No film shows {class_name}."
    alone = f"No film shows anything but {class_name}."
    never = f"No film is called {class_name}."
    always = f"Every film is called {class_name}."
    one_sided = absent if not shown.any() else alone
    return (
        build_share(f"sensitivity/{class_name}", part=called, whole=shown, undefined=absent),
        build_share(f"specificity/{class_name}", part=~called, whole=~shown, undefined=alone),
        build_share(f"ppv/{class_name}", part=shown, whole=called, undefined=never),
        build_share(f"npv/{class_name}", part=~shown, whole=~called, undefined=always),
        _build_f1(class_name, shown=shown, called=called, undefined=absent),
        Statistic(
            name=f"auroc/{class_name}",
            compute=Auroc(shown, probabilities),
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
    right = judged.predicted == judged.truth
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
        build_share("accuracy", part=right, whole=everyone, undefined="There is no film."),
        *(_build_mean(name, [scores[part] for scores in by_class]) for name, part in means),
    )


def _build_f1(
    class_name: str, *, shown: NDArray[np.bool_], called: NDArray[np.bool_], undefined: str
) -> Statistic:
    """Build F1; it rests on the films that show the class or are called it."""
    either = shown | called if shown.any() else shown
    compute = _F1(shown.astype(np.float64), called.astype(np.float64))
    return Statistic(name=f"f1/{class_name}", compute=compute, parts=(either,), undefined=undefined)


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
