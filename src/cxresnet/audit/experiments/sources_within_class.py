"""Sources compared within one class: are they in the features, and do the answers follow them?

What `source_probe.py` asks about is measured here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from cxresnet.audit.context import EACH_END_CONFIDENCE, STRICT_CONFIDENCE, AuditContext
from cxresnet.core.seeding import derive_seed
from cxresnet.metrics.classification import build_mean_statistic
from cxresnet.metrics.estimate import Estimate, correct_confidence, subtract_estimates
from cxresnet.metrics.ranking import build_auroc
from cxresnet.metrics.statistic import Statistic, build_mean
from cxresnet.shortcuts.confounding import compute_cramers_v
from cxresnet.shortcuts.estimators import build_logistic_regression, fit_and_predict

_PURPOSE = "source_probe"
_MAX_SOURCES = 6
_FOLDS = 5
_CHANCE = 0.5
_FOLLOWS, _DOES_NOT_FOLLOW = 0.1, 0.2
_MIN_DIFFERENCE = 0.1

MIN_PATIENTS = 8
"""Of a source within a class, so that it is compared."""

Ends = tuple[float, float]


@dataclass(frozen=True, eq=False)
class ProbedImages:
    """Images whose source is predicted; arrays of one entry an image.

    Attributes:
        labels: Class, as a column of the probabilities.
        sources: Where each comes from.
        groups: Patient or cluster.
        own_probability: The model's probability of the true class.
        features: (images, channel), of the model.
    """

    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    own_probability: NDArray[np.float64]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class SourcePair:
    """Two sources, compared by the answers to their images of one class.

    Attributes:
        class_name: The class.
        sources: The two.
        means: Mean probability of the true class in each.
        estimate: AUROC of that probability, the first above the second; 95 % over all pairs.
        strict: The same, 99 % over all pairs.
        each_end: The same, each end with 95 %, of this pair alone.
        difference: Of the mean probabilities, first minus second, each end with 95 %.
    """

    class_name: str
    sources: tuple[str, str]
    means: tuple[float, float]
    estimate: Estimate
    strict: Estimate
    each_end: Estimate
    difference: Estimate

    @property
    def follows(self) -> bool:
        """Whether the answers are shown to differ, and by enough to matter."""
        low, high = get_ends(self.strict)
        is_apart = low > _CHANCE + _FOLLOWS or high < _CHANCE - _FOLLOWS
        return is_apart and abs(self.means[0] - self.means[1]) >= _MIN_DIFFERENCE

    @property
    def differs(self) -> bool:
        """Whether the answers are shown to differ, by however little."""
        low, high = get_ends(self.estimate)
        return low > _CHANCE or high < _CHANCE

    @property
    def is_alike(self) -> bool:
        """Whether the answers are shown to be alike: in rank, or in their mean."""
        low, high = get_ends(self.each_end)
        if low > _CHANCE - _DOES_NOT_FOLLOW and high < _CHANCE + _DOES_NOT_FOLLOW:
            return True
        low, high = self.difference.low or 0.0, self.difference.high or 0.0
        is_known = self.difference.low is not None
        return is_known and low > -_DOES_NOT_FOLLOW and high < _DOES_NOT_FOLLOW


def find_comparable_sources(
    labels: NDArray[np.int64], sources: NDArray[np.str_], groups: NDArray[np.str_]
) -> dict[int, tuple[str, ...]]:
    """Find the classes with images of at least two sources, and these sources, sorted.

    >>> labels, sources = np.repeat([0, 0, 1], 8), np.repeat(["north", "south", "north"], 8)
    >>> find_comparable_sources(labels, sources, np.arange(24).astype(str))
    {0: ('north', 'south')}
    """
    table = pd.DataFrame({"label": labels, "source": sources, "group": groups})
    found = {}
    for label, rows in table.groupby("label"):
        patients = rows.groupby("source")["group"].nunique().sort_values(ascending=False)
        names = patients[patients >= MIN_PATIENTS].index[:_MAX_SOURCES]
        if len(names) > 1:
            found[int(str(label))] = tuple(sorted(str(name) for name in names))
    return found


def build_source_probes(
    context: AuditContext, images: ProbedImages, comparable: Mapping[int, tuple[str, ...]]
) -> Iterator[Statistic]:
    """Build, for each class, the AUROC of each source against the others, and their mean."""
    for label, names in comparable.items():
        class_name = context.class_names[label]
        within = (images.labels == label) & np.isin(images.sources, names)
        scores = np.zeros((len(within), len(names)))
        scores[within] = predict_sources(
            images.features[within],
            np.searchsorted(names, images.sources[within]),
            images.groups[within],
            seed=derive_seed(context.config.seed, "audit", _PURPOSE, class_name),
        )
        areas = [
            build_auroc(
                name,
                scores[:, column],
                positive=within & (images.sources == name),
                negative=within & (images.sources != name),
            )
            for column, name in enumerate(names)
        ]
        yield build_mean_statistic(class_name, areas)


def predict_sources(
    features: NDArray[np.float32],
    sources: NDArray[np.integer],
    groups: NDArray[np.str_],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Predict the source of each image by a logistic regression trained without its patient.

    Args:
        features: (images, channel).
        sources: From 0, (images,).
        groups: Patient or cluster, (images,).
        seed: Of the folds.

    Returns:
        (images, sources), 0 to 1.
    """
    count = int(sources.max()) + 1
    predicted = np.zeros((len(sources), count))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(features, sources, groups):
        predicted[test] = fit_and_predict(
            build_logistic_regression(seed=seed),
            features[train].astype(np.float64),
            sources[train],
            features[test].astype(np.float64),
            class_count=count,
        )
    return predicted


_PairKey = tuple[int, str, str]
_Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def compare_answers(
    context: AuditContext, images: ProbedImages, comparable: Mapping[int, tuple[str, ...]]
) -> Iterator[SourcePair]:
    """Compare the probability of the true class between each two sources of a class."""
    sides = _list_sides(images, comparable)
    statistics = _build_pair_statistics(images, sides)
    normal, strict, each_end = (
        context.estimate(
            statistics, groups=images.groups, purpose=f"{_PURPOSE} answers", confidence=confidence
        )
        for confidence in (
            correct_confidence(0.95, len(sides)),
            correct_confidence(STRICT_CONFIDENCE, len(sides)),
            EACH_END_CONFIDENCE,
        )
    )
    for key in sides:
        label, first, second = key
        means = each_end[*key, 0], each_end[*key, 1]
        yield SourcePair(
            class_name=context.class_names[label],
            sources=(first, second),
            means=(means[0].value or 0.0, means[1].value or 0.0),
            estimate=normal[key],
            strict=strict[key],
            each_end=each_end[key],
            difference=subtract_estimates(*means),
        )


def _list_sides(
    images: ProbedImages, comparable: Mapping[int, tuple[str, ...]]
) -> dict[_PairKey, _Sides]:
    """List the images of each two sources within a class, as masks."""
    return {
        (label, first, second): (
            (images.labels == label) & (images.sources == first),
            (images.labels == label) & (images.sources == second),
        )
        for label, names in comparable.items()
        for first, second in itertools.combinations(names, 2)
    }


def _build_pair_statistics(
    images: ProbedImages, sides: Mapping[_PairKey, _Sides]
) -> list[Statistic]:
    """Build, for each pair, the AUROC between the two and the mean of each."""
    own = images.own_probability
    areas = [
        build_auroc(key, own, positive=pair[0], negative=pair[1]) for key, pair in sides.items()
    ]
    means = [
        build_mean((*key, number), np.where(pair[number], own, np.nan))
        for key, pair in sides.items()
        for number in (0, 1)
    ]
    return [*areas, *means]


def compute_association(manifest: pd.DataFrame) -> float | None:
    """Compute Cramér's V of source and class over patients, less what chance alone gives.

    With many small sources V is far above 0 where both are independent; its square is reduced by
    its expectation there.

    Args:
        manifest: With the columns `source`, `class_name` and `group_id`.

    Returns:
        0 to 1; None with one source or one class.

    References:
        Bergsma 2013 (Journal of the Korean Statistical Society), without its second correction.
    """
    patients = manifest.drop_duplicates("group_id")
    strength = compute_cramers_v(patients)
    if strength is None:
        return None
    larger = max(patients["source"].nunique(), patients["class_name"].nunique())
    by_chance = (larger - 1) / (len(patients) - 1)
    return math.sqrt(max(0.0, strength**2 - by_chance))


def get_ends(estimate: Estimate) -> Ends:
    """Get the interval; all that is possible where there is none."""
    if estimate.low is None or estimate.high is None:
        return 0.0, 1.0
    return estimate.low, estimate.high
