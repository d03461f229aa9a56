"""Scores of a classifier: pure functions of truth, decisions and probabilities.

Every score is a `Statistic`: the same code computes it for the images as they are and for any
resample of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.ranking import Auroc, AveragePrecision
from cxresnet.metrics.statistic import CachedCompute, Compute, Key, Statistic, divide

CLASS_SCORES = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "average_precision")
"""Names that `build_class_statistics` gives, in its order."""

HEADLINE_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
"""Names that `build_headline_statistics` gives, in its order."""

_Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifiedImages:
    """Images with their true class, predicted class and probabilities.

    Attributes:
        class_names: In the order of the numbers below.
        truth: True class of each image, (images,), int.
        predicted: Class decided for each image, (images,), int.
        probabilities: (images, classes), 0 to 1; each row sums to 1.
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
    def cells(self) -> CachedCompute:
        """From weights to the confusion matrix, (resamples, classes²), true class first."""
        count = len(self.class_names)
        place = self.truth * count + self.predicted
        member = (place[:, None] == np.arange(count**2)).astype(np.float64)
        return CachedCompute(lambda weights: weights @ member)

    @functools.cached_property
    def by_class(self) -> tuple[tuple[Statistic, ...], ...]:
        """The scores of every class, built once, so that what rests on them is computed once."""
        return tuple(_build_class(self, index) for index in range(len(self.class_names)))

    def select(self, chosen: NDArray[np.bool_]) -> ClassifiedImages:
        """Take some of the images; `chosen` is a mask, (images,)."""
        return ClassifiedImages(
            class_names=self.class_names,
            truth=self.truth[chosen],
            predicted=self.predicted[chosen],
            probabilities=self.probabilities[chosen],
        )


@dataclass(frozen=True)
class _Share:
    """A sum over images divided by another sum; both arrays are (images,)."""

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
    """Harmonic mean of sensitivity and PPV; not defined without images of the class."""

    cells: Compute
    positive: _Array
    predicted_positive: _Array

    def __call__(self, weights: _Array) -> _Array:
        cells = self.cells(weights)
        positive = cells @ self.positive
        found = cells @ (self.positive * self.predicted_positive)
        score = divide(2 * found, positive + cells @ self.predicted_positive)
        return np.where(positive > 0, score, np.nan)


@dataclass(frozen=True)
class Mean:
    """Plain mean of several numbers; undefined where one of them is."""

    parts: tuple[Compute, ...]

    def __call__(self, weights: _Array) -> _Array:
        """Compute the mean for each row of weights, (resamples,)."""
        mean: _Array = np.mean([part(weights) for part in self.parts], axis=0)
        return mean


def compute_confusion(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], *, class_count: int
) -> NDArray[np.int64]:
    """Count images by true class (row) and decided class (column), (classes, classes)."""
    cells = np.bincount(truth * class_count + predicted, minlength=class_count**2)
    return cells.reshape(class_count, class_count).astype(np.int64)


def build_share(
    name: Key, *, part: NDArray[np.bool_], whole: NDArray[np.bool_], undefined: str
) -> Statistic:
    """Build the share of the images `whole` that are also in `part`; masks of (images,)."""
    compute = _Share((part & whole).astype(np.float64), whole.astype(np.float64))
    return Statistic(
        name=name,
        compute=compute,
        parts=(whole,),
        undefined=undefined,
        is_share_of_images=True,
    )


def build_class_statistics(evaluated: ClassifiedImages, class_index: int) -> tuple[Statistic, ...]:
    """Build the scores of one class against the rest.

    Returns:
        In the order of `CLASS_SCORES`; names are pairs, for example ("f1", "pneumonia").
    """
    return evaluated.by_class[class_index]


def _build_class(evaluated: ClassifiedImages, class_index: int) -> tuple[Statistic, ...]:
    class_name = evaluated.class_names[class_index]
    positive = evaluated.truth == class_index
    probabilities = evaluated.probabilities[:, class_index]
    absent = f"No image shows {class_name}."
    alone = f"No image shows anything but {class_name}."
    one_sided = absent if not positive.any() else alone
    return (
        *_build_cell_shares(evaluated, class_index, absent=absent, alone=alone),
        _build_f1(evaluated, class_index, undefined=absent),
        Statistic(
            name=("auroc", class_name),
            compute=CachedCompute(Auroc(positive, probabilities)),
            parts=(positive, ~positive),
            undefined=one_sided,
        ),
        Statistic(
            name=("average_precision", class_name),
            compute=AveragePrecision(positive, probabilities),
            parts=(positive, ~positive),
            undefined=one_sided,
        ),
    )


def _build_cell_shares(
    evaluated: ClassifiedImages, class_index: int, *, absent: str, alone: str
) -> tuple[Statistic, ...]:
    """Build sensitivity, specificity and the predictive values from the confusion matrix."""
    class_name = evaluated.class_names[class_index]
    positive, predicted_positive = (
        evaluated.truth == class_index,
        evaluated.predicted == class_index,
    )
    true_cell, predicted_cell = _mark_cells(len(evaluated.class_names), class_index)
    rows = (
        ("sensitivity", predicted_cell, true_cell, positive, absent),
        ("specificity", ~predicted_cell, ~true_cell, ~positive, alone),
        (
            "ppv",
            true_cell,
            predicted_cell,
            predicted_positive,
            f"No image is predicted as {class_name}.",
        ),
        (
            "npv",
            ~true_cell,
            ~predicted_cell,
            ~predicted_positive,
            f"Every image is predicted as {class_name}.",
        ),
    )
    return tuple(
        Statistic(
            name=(name, class_name),
            compute=_CellShare(
                evaluated.cells, (part & whole).astype(np.float64), whole.astype(np.float64)
            ),
            parts=(images,),
            undefined=undefined,
            is_share_of_images=True,
        )
        for name, part, whole, images, undefined in rows
    )


def _mark_cells(count: int, class_index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the cells of images that show a class, and of images that are called it, (classes²,)."""
    true, predicted_positive = np.divmod(np.arange(count**2), count)
    return true == class_index, predicted_positive == class_index


def build_headline_statistics(
    evaluated: ClassifiedImages, *, classes: Sequence[int] | None = None
) -> tuple[Statistic, ...]:
    """Build the scores that stand for the whole.

    Args:
        evaluated: The images.
        classes: Classes that the means run over; None for all. A mean is not defined where one of
            them is absent.

    Returns:
        In the order of `HEADLINE_SCORES`.
    """
    chosen = range(len(evaluated.class_names)) if classes is None else classes
    everyone = np.ones(len(evaluated.truth), dtype=bool)
    count = len(evaluated.class_names)
    by_class = [
        dict(zip(CLASS_SCORES, build_class_statistics(evaluated, index), strict=True))
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
            compute=_CellShare(evaluated.cells, np.eye(count).ravel(), np.ones(count**2)),
            parts=(everyone,),
            undefined="There is no image.",
            is_share_of_images=True,
        ),
        *(
            build_mean_statistic(name, [scores[part] for scores in by_class])
            for name, part in means
        ),
    )


def _build_f1(evaluated: ClassifiedImages, class_index: int, *, undefined: str) -> Statistic:
    """Build F1; it rests on the images that show the class or are called it."""
    positive, predicted_positive = (
        evaluated.truth == class_index,
        evaluated.predicted == class_index,
    )
    true_cell, predicted_cell = _mark_cells(len(evaluated.class_names), class_index)
    compute = _F1(evaluated.cells, true_cell.astype(np.float64), predicted_cell.astype(np.float64))
    return Statistic(
        name=("f1", evaluated.class_names[class_index]),
        compute=compute,
        parts=(positive | predicted_positive if positive.any() else positive,),
        undefined=undefined,
    )


def build_mean_statistic(name: Key, statistics: Sequence[Statistic]) -> Statistic:
    """Build the mean of several scores of one scale, joining the reasons of those not defined."""
    missing = [
        statistic.undefined
        for statistic in statistics
        if not all(part.any() for part in statistic.parts)
    ]
    return Statistic(
        name=name,
        compute=Mean(tuple(statistic.compute for statistic in statistics)),
        parts=tuple(part for statistic in statistics for part in statistic.parts),
        undefined=" ".join(dict.fromkeys(missing)),
        scale=statistics[0].scale,
    )
