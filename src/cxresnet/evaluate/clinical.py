"""Topic: thresholds, predictive values and net benefit, for whoever would act on a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import build_class_map
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import ClassMapError
from cxresnet.core.record import Record
from cxresnet.evaluate.results import Aim, BinaryScores, ChosenThreshold, ClassResult
from cxresnet.evaluate.scores import build_class_results
from cxresnet.evaluate.topic import Estimates, EvaluationInputs, Topic, add_prefix, estimate
from cxresnet.metrics.classification import ClassifiedImages, build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.prevalence import (
    build_net_benefit_statistics,
    compute_benefit_of_all,
    compute_likelihood_ratios,
    compute_predictive_values,
)
from cxresnet.metrics.statistic import Key, Statistic
from cxresnet.predict.decision import OperatingPoint, apply_operating_point
from cxresnet.predict.predictions import Predictions

ACTION_THRESHOLDS = (0.01, 0.02, *(round(0.05 * step, 2) for step in range(1, 20)))
"""Probabilities from which on one might act."""

PREVALENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""From screening of healthy people to a ward of patients."""

_SCORES = ("sensitivity", "specificity", "ppv", "npv")

_Array = NDArray[np.float64]
_Choose = Callable[[_Array, _Array], int]
"""From true and false positives at each threshold, from the highest down, to the best one."""

_ROUNDING = 1e-9
"""So that 19 of 20 are 95 %."""


class PredictiveValues(Record):
    """Predictive values of a class at a given prevalence.

    Attributes:
        class_name: The class.
        prevalence: Share of images that show it there, 0 to 1.
        ppv: Share of the images predicted as it that show it.
        npv: Share of the images not predicted as it that do not show it.
    """

    class_name: str
    prevalence: float
    ppv: Estimate
    npv: Estimate


class ClassThreshold(Record):
    """The probability from which on an image counts as positive, for one class against the rest.

    Attributes:
        class_name: The class.
        aim: What the threshold was chosen for: "sensitivity" (the highest that reaches the target),
            "youden" (the best sensitivity + specificity) or "cost" (the least cost).
        goal: The aim with its number, for people.
        threshold: Calibrated probability, 0 to 1; images that reach it are predicted positive.
        chosen_on: Which images chose it.
        on_validation: Its scores on the images that chose it, which are optimistic.
        reached: Its scores on the evaluated images.
        at_prevalence: PPV and NPV on those images at the prevalence given in the config; None where
            none was.
    """

    class_name: str
    aim: Aim
    goal: str
    threshold: float
    chosen_on: str
    on_validation: BinaryScores
    reached: BinaryScores
    at_prevalence: PredictiveValues | None = None


class PrevalenceCurve(Record):
    """Predictive values of the network's decisions over prevalence.

    Attributes:
        class_name: The class.
        positive_likelihood_ratio: Factor by which a positive prediction multiplies the odds.
        negative_likelihood_ratio: Factor by which a negative prediction multiplies them.
        points: From rare to common.
    """

    class_name: str
    positive_likelihood_ratio: Estimate
    negative_likelihood_ratio: Estimate
    points: tuple[PredictiveValues, ...]


class DecisionCurve(Record):
    """Whether acting on the probability of a class is better than acting on all images or on none.

    Attributes:
        class_name: The class that is acted on.
        prevalence: Its share of the evaluated images, for which the curve holds.
        thresholds: Probability from which on one acts, in order.
        net_benefit: Of acting on the network, one a threshold: true positives minus false positives
            times the odds of the threshold, as a share of all images.
        act_on_all: Of acting on every image; acting on none has 0.
    """

    class_name: str
    prevalence: float
    thresholds: tuple[float, ...]
    net_benefit: tuple[Estimate, ...]
    act_on_all: tuple[float, ...]


def list_statistics(inputs: EvaluationInputs) -> tuple[Statistic, ...]:
    """List the scores at each threshold, and the net benefit of each class."""
    evaluated = inputs.evaluated
    found: list[Statistic] = []
    for one in inputs.background.thresholds:
        found += list_binary_statistics(evaluated, one.class_index, one.threshold, prefix=one.key)
    for index in range(len(evaluated.class_names)):
        found += build_net_benefit_statistics(evaluated, index, thresholds=ACTION_THRESHOLDS)
    return tuple(found)


def build_records(inputs: EvaluationInputs, estimates: Estimates) -> dict[str, Any]:
    """Build thresholds, prevalence curves, predictive values and decision curves."""
    evaluated = inputs.evaluated
    classes = build_class_results(evaluated, estimates, group_ids=inputs.group_ids)
    prevalences = resolve_prevalences(inputs.config.prevalence, evaluated.class_names)
    return {
        "class_thresholds": tuple(
            _build_threshold(one, evaluated.class_names[one.class_index], estimates, prevalences)
            for one in inputs.background.thresholds
        ),
        "prevalence_curves": tuple(_build_prevalence_curve(one) for one in classes),
        "at_prevalence": tuple(
            _predict(one.class_name, one.sensitivity, one.specificity, prevalences[one.class_name])
            for one in classes
            if one.class_name in prevalences
        ),
        "decision_curves": _build_decision_curves(evaluated, estimates),
    }


TOPIC = Topic(list_statistics, build_records)


def choose_thresholds(
    validation: Predictions, *, point: OperatingPoint, config: EvaluateConfig
) -> tuple[ChosenThreshold, ...]:
    """Choose a threshold for each class and aim.

    Args:
        validation: Images without a known class are left out.
        point: Has the calibration.
        config: Has the aims.

    Returns:
        By class, then by aim; nothing for a class that validation does not hold, or holds alone.
    """
    known = validation.select(validation.truth >= 0)
    evaluated = apply_operating_point(known, point)
    chosen = [
        (index, aim, goal, _choose(evaluated, index, choose))
        for index in range(len(evaluated.class_names))
        if 0 < (evaluated.truth == index).sum() < len(evaluated.truth)
        for aim, goal, choose in _list_aims(config)
    ]
    statistics = [
        statistic
        for index, aim, _, threshold in chosen
        for statistic in list_binary_statistics(evaluated, index, threshold, prefix=(index, aim))
    ]
    estimates = estimate(
        statistics, group_ids=known.group_ids, strata=evaluated.truth, config=config
    )
    return tuple(
        ChosenThreshold(
            class_index=index,
            aim=aim,
            goal=goal,
            threshold=threshold,
            chosen_on=f"{len(known)} validation images",
            on_validation=build_binary_scores(estimates, prefix=(index, aim)),
        )
        for index, aim, goal, threshold in chosen
    )


def list_binary_statistics(
    evaluated: ClassifiedImages, class_index: int, threshold: float, *, prefix: Key
) -> tuple[Statistic, ...]:
    """List the scores of one class against the rest at a threshold, keyed (*prefix, SCORE)."""
    class_name = evaluated.class_names[class_index]
    positive = evaluated.truth == class_index
    predicted_positive = evaluated.probabilities[:, class_index] >= threshold
    absent, alone = f"No image shows {class_name}.", f"No image shows anything but {class_name}."
    never, always = "No image reaches the threshold.", "Every image reaches the threshold."
    rows = (
        ("sensitivity", predicted_positive, positive, absent),
        ("specificity", ~predicted_positive, ~positive, alone),
        ("ppv", positive, predicted_positive, never),
        ("npv", ~positive, ~predicted_positive, always),
    )
    return tuple(
        build_share(add_prefix(prefix, score), part=part, whole=whole, undefined=undefined)
        for score, part, whole, undefined in rows
    )


def build_binary_scores(estimates: Estimates, *, prefix: Key) -> BinaryScores:
    """Collect the scores of `list_binary_statistics`."""
    return BinaryScores.model_validate(
        {score: estimates[add_prefix(prefix, score)] for score in _SCORES}
    )


def _list_aims(config: EvaluateConfig) -> tuple[tuple[Aim, str, _Choose], ...]:
    least, cost = config.target_sensitivity, config.false_negative_cost

    def reach(true_positives: _Array, false_positives: _Array) -> int:
        del false_positives
        return int(np.argmax(true_positives / true_positives[-1] >= least - _ROUNDING))

    def balance(true_positives: _Array, false_positives: _Array) -> int:
        return int(
            np.argmax(true_positives / true_positives[-1] - false_positives / false_positives[-1])
        )

    def save(true_positives: _Array, false_positives: _Array) -> int:
        return int(np.argmin(cost * (true_positives[-1] - true_positives) + false_positives))

    return (
        ("sensitivity", f"sensitivity at least {100 * least:g} %", reach),
        ("youden", "best sensitivity + specificity", balance),
        ("cost", f"least cost, a false negative costing {cost:g} times a false positive", save),
    )


def _choose(evaluated: ClassifiedImages, class_index: int, choose: _Choose) -> float:
    """Choose among all thresholds that separate images, half-way between two probabilities."""
    positive = evaluated.truth == class_index
    scores = evaluated.probabilities[:, class_index]
    steps = np.unique(scores)[::-1]
    predicted_positive = scores >= steps[:, None]
    best = choose(
        (predicted_positive & positive).sum(axis=1).astype(np.float64),
        (predicted_positive & ~positive).sum(axis=1).astype(np.float64),
    )
    below = steps[best + 1] if best + 1 < len(steps) else 0.0
    return float((steps[best] + below) / 2)


def resolve_prevalences(given: Mapping[str, float], class_names: Sequence[str]) -> dict[str, float]:
    """Find the classes for which a prevalence is given: "covid" is "covid-19".

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
                f"A prevalence is given for '{name}', which is not a class of this network. Its "
                f"classes are {', '.join(class_names)}.{known.hint(name)}"
            )
        found[meant] = share
    return found


def _build_threshold(
    one: ChosenThreshold, class_name: str, estimates: Estimates, prevalences: Mapping[str, float]
) -> ClassThreshold:
    reached = build_binary_scores(estimates, prefix=one.key)
    requested = prevalences.get(class_name)
    return ClassThreshold(
        class_name=class_name,
        aim=one.aim,
        goal=one.goal,
        threshold=one.threshold,
        chosen_on=one.chosen_on,
        on_validation=one.on_validation,
        reached=reached,
        at_prevalence=None
        if requested is None
        else _predict(class_name, reached.sensitivity, reached.specificity, requested),
    )


def _build_prevalence_curve(result: ClassResult) -> PrevalenceCurve:
    """Build the predictive values of the network's decisions over prevalence, for one class."""
    scores = (result.sensitivity, result.specificity)
    ratios = compute_likelihood_ratios(*scores)
    return PrevalenceCurve(
        class_name=result.class_name,
        positive_likelihood_ratio=ratios.positive,
        negative_likelihood_ratio=ratios.negative,
        points=tuple(_predict(result.class_name, *scores, share) for share in PREVALENCES),
    )


def _build_decision_curves(
    evaluated: ClassifiedImages, estimates: Estimates
) -> tuple[DecisionCurve, ...]:
    """Collect the decision curve of each class that the images show."""
    curves = []
    for index, name in enumerate(evaluated.class_names):
        positive = evaluated.truth == index
        if not positive.any():
            continue
        prevalence = float(np.mean(positive))
        curves.append(
            DecisionCurve(
                class_name=name,
                prevalence=prevalence,
                thresholds=ACTION_THRESHOLDS,
                net_benefit=tuple(
                    estimates["net_benefit", name, number]
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
