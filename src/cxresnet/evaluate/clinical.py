"""What the numbers mean for somebody who acts: thresholds, predictive values, net benefit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError
from cxresnet.evaluate.clinical_records import (
    ClassThreshold,
    DecisionCurve,
    PredictiveValues,
    PrevalenceCurve,
)
from cxresnet.evaluate.results import ClassResult
from cxresnet.evaluate.thresholds import (
    ChosenThreshold,
    build_binary_scores,
    list_binary_statistics,
)
from cxresnet.metrics.classification import Judged
from cxresnet.metrics.decision_curve import build_net_benefit_statistics, compute_benefit_of_all
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.prevalence import compute_likelihood_ratios, compute_predictive_values
from cxresnet.metrics.statistic import Statistic

__all__ = [
    "ACTION_THRESHOLDS",
    "PREVALENCES",
    "build_at_prevalence",
    "build_class_thresholds",
    "build_decision_curves",
    "build_prevalence_curves",
    "list_clinical_statistics",
    "resolve_prevalences",
]

ACTION_THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)))
"""Probabilities from which on one might act."""

PREVALENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""From a screening of healthy people to a ward of the ill."""


def resolve_prevalences(given: Mapping[str, float], class_names: Sequence[str]) -> dict[str, float]:
    """Find the classes that somebody named: "covid" is "covid-19".

    Args:
        given: From a class, as written, to its prevalence.
        class_names: Of the network.

    Raises:
        ClassMapError: The network does not know a class.
    """
    known = build_class_map(class_names=class_names)
    found = {}
    for name, share in given.items():
        meant = known.find(name)
        if not meant:
            raise ClassMapError(
                f"A prevalence is given for '{name}', which is no class of this network: it knows "
                f"{', '.join(class_names)}.{known.hint(name)}"
            )
        found[meant] = share
    return found


def list_clinical_statistics(
    judged: Judged, thresholds: Sequence[ChosenThreshold]
) -> tuple[Statistic, ...]:
    """List what each threshold gives on these films, and the net benefit of each class."""
    found: list[Statistic] = []
    for one in thresholds:
        found += list_binary_statistics(judged, one.class_index, one.threshold, name=one.name)
    for index in range(len(judged.class_names)):
        found += build_net_benefit_statistics(judged, index, thresholds=ACTION_THRESHOLDS)
    return tuple(found)


def build_class_thresholds(
    judged: Judged,
    thresholds: Sequence[ChosenThreshold],
    estimates: Mapping[str, Estimate],
    *,
    prevalences: Mapping[str, float],
) -> tuple[ClassThreshold, ...]:
    """Collect the thresholds and what they reach.

    Args:
        judged: The films.
        thresholds: As validation chose them.
        estimates: Of `list_clinical_statistics`.
        prevalences: From class name to prevalence, where one was asked for.
    """
    found = []
    for one in thresholds:
        name = judged.class_names[one.class_index]
        reached = build_binary_scores(estimates, name=one.name)
        asked = prevalences.get(name)
        found.append(
            ClassThreshold(
                class_name=name,
                aim=one.aim,
                goal=one.goal,
                threshold=one.threshold,
                chosen_on=one.chosen_on,
                on_validation=one.on_validation,
                reached=reached,
                at_prevalence=None
                if asked is None
                else _predict(name, reached.sensitivity, reached.specificity, asked),
            )
        )
    return tuple(found)


def build_prevalence_curves(classes: Sequence[ClassResult]) -> tuple[PrevalenceCurve, ...]:
    """Build the predictive values of the network's answers over prevalence, one a class."""
    curves = []
    for result in classes:
        scores = (result.sensitivity, result.specificity)
        ratios = compute_likelihood_ratios(*scores)
        curves.append(
            PrevalenceCurve(
                class_name=result.class_name,
                positive_likelihood_ratio=ratios.positive,
                negative_likelihood_ratio=ratios.negative,
                points=tuple(_predict(result.class_name, *scores, share) for share in PREVALENCES),
            )
        )
    return tuple(curves)


def build_at_prevalence(
    classes: Sequence[ClassResult], prevalences: Mapping[str, float]
) -> tuple[PredictiveValues, ...]:
    """Build the predictive values of the network's answers where it was asked for them."""
    return tuple(
        _predict(
            result.class_name,
            result.sensitivity,
            result.specificity,
            prevalences[result.class_name],
        )
        for result in classes
        if result.class_name in prevalences
    )


def build_decision_curves(
    judged: Judged, estimates: Mapping[str, Estimate]
) -> tuple[DecisionCurve, ...]:
    """Collect the decision curve of each class that the films show."""
    curves = []
    for index, name in enumerate(judged.class_names):
        shown = judged.truth == index
        if not shown.any():
            continue
        prevalence = float(np.mean(shown))
        curves.append(
            DecisionCurve(
                class_name=name,
                prevalence=prevalence,
                thresholds=ACTION_THRESHOLDS,
                net_benefit=tuple(
                    estimates[f"net_benefit/{name}/{number}"]
                    for number in range(len(ACTION_THRESHOLDS))
                ),
                act_on_all=tuple(
                    compute_benefit_of_all(prevalence, threshold) for threshold in ACTION_THRESHOLDS
                ),
            )
        )
    return tuple(curves)


def _predict(
    class_name: str, sensitivity: Estimate, specificity: Estimate, prevalence: float
) -> PredictiveValues:
    ppv, npv = compute_predictive_values(sensitivity, specificity, prevalence=prevalence)
    return PredictiveValues(class_name=class_name, prevalence=prevalence, ppv=ppv, npv=npv)
