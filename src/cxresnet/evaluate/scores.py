"""From judged films to the records of an evaluation, all numbers on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.seeding import build_generator
from cxresnet.evaluate.record import (
    ClassResult,
    Headline,
    PatientResult,
    RocCurve,
)
from cxresnet.metrics.agreement import build_confusion_statistics, build_kappa
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.calibration import (
    build_calibration_statistics,
)
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    Judged,
    build_class_statistics,
    build_headline_statistics,
    build_share,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.ranking import compute_roc_points
from cxresnet.metrics.recalibration import build_recalibration_statistics
from cxresnet.metrics.statistic import Statistic

__all__ = [
    "Lift",
    "build_class_results",
    "build_headline",
    "build_lift",
    "build_patient_results",
    "estimate",
    "list_statistics",
    "prefix_names",
]


@dataclass(frozen=True)
class Lift:
    """One statistic above another, for films drawn together.

    Attributes:
        ours: The network's.
        theirs: The baseline's.
    """

    ours: Statistic
    theirs: Statistic

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the difference in each resample, (resamples,), -1 to 1."""
        return self.ours.compute(weights) - self.theirs.compute(weights)


def estimate(
    statistics: Sequence[Statistic],
    *,
    group_ids: Sequence[str],
    config: EvaluateConfig,
    strata: NDArray[np.int64] | None = None,
) -> dict[str, Estimate]:
    """Estimate statistics with the intervals that a config asks for, by name.

    Args:
        statistics: The numbers.
        group_ids: Patient with duplicates, one a film.
        config: Of the intervals.
        strata: The class of each film, (films,): patients are drawn again within their class.
    """
    return compute_estimates(
        statistics,
        groups=group_ids,
        strata=strata,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence,
        generator=build_generator(config.seed, "bootstrap"),
    )


def prefix_names(prefix: str, statistics: Sequence[Statistic]) -> tuple[Statistic, ...]:
    """Name statistics "prefix/name", so that those of several judges can be estimated together."""
    return tuple(replace(statistic, name=f"{prefix}/{statistic.name}") for statistic in statistics)


def build_lift(name: str, *, ours: Statistic, theirs: Statistic) -> Statistic:
    """Build the difference of two statistics of the same films."""
    return Statistic(
        name=name,
        compute=Lift(ours, theirs),
        parts=ours.parts + theirs.parts,
        undefined=ours.undefined,
        scale="difference",
    )


def build_headline(estimates: Mapping[str, Estimate], *, prefix: str = "") -> Headline:
    """Collect the headline from estimates; `prefix` is that of `prefix_names` with its slash."""
    return Headline.model_validate({name: estimates[prefix + name] for name in HEADLINE_SCORES})


def build_class_results(
    judged: Judged, estimates: Mapping[str, Estimate], *, group_ids: Sequence[str]
) -> tuple[ClassResult, ...]:
    """Collect the scores of every class and its ROC curve."""
    groups = np.array(group_ids)
    results = []
    for index, class_name in enumerate(judged.class_names):
        shown = judged.truth == index
        scores = {name: estimates[f"{name}/{class_name}"] for name in CLASS_SCORES}
        results.append(
            ClassResult(
                class_name=class_name,
                films=int(shown.sum()),
                patients=len(np.unique(groups[shown])),
                roc=_build_roc(shown, judged.probabilities[:, index]),
                **scores,
            )
        )
    return tuple(results)


def build_patient_results(
    judged: Judged,
    *,
    group_ids: Sequence[str],
    weights: NDArray[np.float64],
    config: EvaluateConfig,
) -> tuple[PatientResult, ...]:
    """Judge patients by the mean probability of their films.

    Args:
        judged: The films.
        group_ids: Patient with duplicates, one a film.
        weights: Of the operating point, (classes,).
        config: Of the intervals.
    """
    names, index = np.unique(np.array(group_ids), return_inverse=True)
    films = np.bincount(index, minlength=len(names))
    label = np.full(len(names), -1, dtype=np.int64)
    label[index] = judged.truth
    same = np.bincount(index, weights=label[index] == judged.truth, minlength=len(names)) == films
    mean = np.stack(
        [
            np.bincount(index, weights=column, minlength=len(names)) / films
            for column in judged.probabilities.T
        ],
        axis=1,
    )
    called = (mean * weights).argmax(axis=1)
    recalls = [
        build_share(
            class_name,
            part=called == number,
            whole=same & (label == number),
            undefined=f"No patient has {class_name} on every film.",
        )
        for number, class_name in enumerate(judged.class_names)
    ]
    estimates = estimate(recalls, group_ids=names.tolist(), config=config, strata=label)
    return tuple(
        PatientResult(class_name=name, patients=found.n, recall=found)
        for name, found in estimates.items()
    )


def list_statistics(judged: Judged, *, before: NDArray[np.float64]) -> tuple[Statistic, ...]:
    """List every statistic of the network itself.

    Args:
        judged: The films.
        before: Probabilities before calibration, (films, classes).
    """
    by_class = (
        statistic
        for index in range(len(judged.class_names))
        for statistic in (
            *build_class_statistics(judged, index),
            *build_recalibration_statistics(judged, index),
        )
    )
    return (
        *build_headline_statistics(judged),
        *by_class,
        *build_calibration_statistics(judged.probabilities, judged.truth),
        *prefix_names("before", build_calibration_statistics(before, judged.truth)),
        build_kappa(judged),
        *build_confusion_statistics(judged),
    )


def _build_roc(shown: NDArray[np.bool_], scores: NDArray[np.float64]) -> RocCurve | None:
    points = compute_roc_points(shown, scores)
    if points is None:
        return None
    return RocCurve(
        false_positive_rate=tuple(points.false_positive_rate.tolist()),
        true_positive_rate=tuple(points.true_positive_rate.tolist()),
        thresholds=tuple(
            value if np.isfinite(value) else None for value in points.thresholds.tolist()
        ),
    )
