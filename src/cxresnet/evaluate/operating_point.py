"""Choices made before the test: operating point, thresholds and prediction sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.seeding import build_generator
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.evaluate.clinical import choose_thresholds
from cxresnet.evaluate.results import ChosenThreshold, Headline
from cxresnet.evaluate.scores import build_headline
from cxresnet.evaluate.topic import estimate
from cxresnet.metrics.calibration import compute_probabilities, fit_calibration, fit_temperature
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.conformal import fit_set_thresholds
from cxresnet.metrics.ranking import compute_roc_points
from cxresnet.metrics.statistic import compute_value
from cxresnet.predict.decision import (
    Decision,
    OperatingPoint,
    RuleName,
    apply_operating_point,
    build_plain_operating_point,
    decide,
)
from cxresnet.predict.predictions import Predictions

_Array = NDArray[np.float64]
_Fit = Callable[[_Array, NDArray[np.int64]], _Array]
"""From probabilities (images, classes) and truth (images,) to weights (classes,)."""

_FOLDS = 5
_MIN_GAIN = 0.01
"""A rule with more degrees of freedom must be better by one image in a hundred to be taken."""

_SMALLEST_THRESHOLD = 1e-4

LEFT_OUT_IMAGES = "images of sources left out of training"
"""What a decision was chosen on with `evaluate.calibrate_on = "left-out sources"`."""


@dataclass(frozen=True)
class ValidationChoices:
    """Choices, and their scores on the images that made them.

    Attributes:
        decision: How logits become decisions.
        thresholds: One class against the rest, by class and aim.
        headline: Of the validation images: optimistic, and so a ceiling for the test.
    """

    decision: Decision
    thresholds: tuple[ChosenThreshold, ...]
    headline: Headline

    @property
    def point(self) -> OperatingPoint:
        """Calibration and decision rule."""
        return self.decision.operating_point


def choose_on_validation(
    validation: Predictions,
    *,
    training_dataset: PreparedDataset,
    config: EvaluateConfig,
    network: str,
    left_out: Predictions | None = None,
) -> ValidationChoices:
    """Make all choices on validation images, before the held-out test set is opened.

    Args:
        validation: Of the network, with the views of the config.
        left_out: Images of sources left out of training, as networks without these saw them: the
            decision is chosen on them instead.
        training_dataset: The dataset that it was trained on; its test set stays closed.
        config: What to choose, and by which rule.
        network: SHA-256 of the network's weights.
    """
    decision = choose_decision(
        validation if left_out is None else left_out,
        class_shares=_compute_class_shares(training_dataset),
        config=config,
        network=network,
        chosen_on="validation images" if left_out is None else LEFT_OUT_IMAGES,
    )
    point = decision.operating_point
    known = validation.select(validation.truth >= 0)
    evaluated = apply_operating_point(known, point)
    estimates = estimate(
        build_headline_statistics(evaluated),
        group_ids=known.group_ids,
        strata=evaluated.truth,
        config=config,
    )
    return ValidationChoices(
        decision=decision,
        thresholds=choose_thresholds(known, point=point, config=config),
        headline=build_headline(estimates),
    )


def choose_decision(
    calibration: Predictions,
    *,
    class_shares: _Array,
    config: EvaluateConfig,
    network: str = "",
    chosen_on: str = "validation images",
) -> Decision:
    """Choose how logits become decisions: operating point and prediction sets.

    Args:
        calibration: Images that the network did not learn from.
        class_shares: Of the training images, (classes,), sums to 1.
        config: Has the rule and the target coverage.
        network: SHA-256 of the network's weights; "" where the decision stays here.
        chosen_on: Which images these are, for people.
    """
    point = choose_operating_point(
        calibration,
        class_shares=class_shares,
        rule=config.operating_point,
        seed=config.seed,
        chosen_on=chosen_on,
    )
    evaluated = apply_operating_point(calibration.select(calibration.truth >= 0), point)
    sets = fit_set_thresholds(evaluated.probabilities, evaluated.truth, coverage=config.coverage)
    return Decision(
        network=network,
        class_names=calibration.class_names,
        test_time_augmentation=config.test_time_augmentation,
        operating_point=point,
        set_thresholds=tuple(sets.tolist()),
        nominal_coverage=config.coverage,
    )


def choose_point(
    validation: Predictions, training_dataset: PreparedDataset, *, config: EvaluateConfig
) -> OperatingPoint:
    """Choose how the probabilities of a network become a class.

    Args:
        validation: Of the network.
        training_dataset: The dataset that it was trained on; its test set stays closed.
        config: Has the rule.
    """
    return choose_operating_point(
        validation,
        class_shares=_compute_class_shares(training_dataset),
        rule=config.operating_point,
        seed=config.seed,
    )


def _compute_class_shares(training_dataset: PreparedDataset) -> _Array:
    labels = training_dataset.select("train").labels
    return np.bincount(labels, minlength=len(training_dataset.class_names)) / len(labels)


def choose_operating_point(
    validation: Predictions,
    *,
    class_shares: _Array,
    rule: RuleName | Literal["auto"] = "auto",
    seed: int = 0,
    chosen_on: str = "validation images",
) -> OperatingPoint:
    """Choose temperature, shifts and weights on validation images.

    With "auto" the rules are compared by balanced accuracy, each image classified by a rule that
    was fitted on the other patients; a rule with more degrees of freedom is taken only for a gain
    of 0.01. The rules use probabilities without shifts, where each class has the weight that it
    had in training.

    Args:
        validation: Images without a known class are left out.
        class_shares: Of the training images, (classes,), sums to 1.
        rule: One rule, or "auto".
        seed: Of the folds.
        chosen_on: Which images these are, for people.

    Returns:
        The operating point; the plain one where validation has no image.
    """
    known = validation.select(validation.truth >= 0)
    if not len(known):
        return build_plain_operating_point(len(validation.class_names))
    temperature = fit_temperature(known.logits, known.truth)
    probabilities = compute_probabilities(known.logits, temperature=temperature)
    fits = _list_rules(class_shares)
    fold = _assign_folds(known.group_ids, seed=seed)
    scores: dict[RuleName, float] = {}
    for name, fit in fits.items():
        score = _score(fit, known, probabilities, fold=fold)
        if score is not None:
            scores[name] = score
    chosen = _take_best(scores) if rule == "auto" else rule
    weights = fits[chosen](probabilities, known.truth)
    calibrated, shifts = fit_calibration(known.logits, known.truth)
    # The same decisions, from the probabilities that are shown.
    weights = np.exp(np.log(weights) * temperature / calibrated - np.array(shifts))
    return OperatingPoint(
        rule=chosen,
        temperature=calibrated,
        shifts=shifts,
        weights=tuple((weights / weights.mean()).tolist()),
        chosen_on=f"{len(known)} {chosen_on}",
        scores={name: scores[name] for name in scores},
    )


def _list_rules(class_shares: _Array) -> dict[RuleName, _Fit]:
    """List the rules, those with fewer degrees of freedom first."""
    rarity = 1 / np.maximum(class_shares, 1e-3)
    return {
        "argmax": lambda probabilities, _: np.ones(probabilities.shape[1]),
        "balanced": lambda *_: rarity,
        "youden": _fit_youden,
    }


def _fit_youden(probabilities: _Array, truth: NDArray[np.int64]) -> _Array:
    """Fit one threshold a class, where its sensitivity + specificity is highest.

    A threshold lies half-way between the scores on its two sides. The weight is its inverse, so
    that the image is assigned to the class that exceeds its own threshold by the largest factor.

    References:
        Youden 1950.
    """
    thresholds = np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    for index in range(probabilities.shape[1]):
        scores = probabilities[:, index]
        points = compute_roc_points(truth == index, scores)
        if points is None:
            continue
        best = int((points.true_positive_rate - points.false_positive_rate).argmax())
        lowest_called = min(points.thresholds[best], 1.0)
        below = scores[scores < lowest_called]
        highest_left = float(below.max()) if len(below) else 0.0
        thresholds[index] = (lowest_called + highest_left) / 2
    weights: _Array = 1 / np.maximum(thresholds, _SMALLEST_THRESHOLD)
    return weights


def _assign_folds(group_ids: tuple[str, ...], *, seed: int) -> NDArray[np.int64]:
    """Assign the groups to folds; returns the fold of each image, (images,)."""
    names, index = np.unique(np.array(group_ids), return_inverse=True)
    order = build_generator(seed, "operating point").permutation(len(names))
    fold: NDArray[np.int64] = order[index] % min(_FOLDS, len(names))
    return fold


def _score(
    fit: _Fit, validation: Predictions, probabilities: _Array, *, fold: NDArray[np.int64]
) -> float | None:
    """Compute the balanced accuracy of a rule, fitted for each fold on the other folds.

    The mean runs over the classes that validation holds; None where it holds fewer than two.
    """
    truth = validation.truth
    predicted = np.empty(len(truth), dtype=np.int64)
    for number in np.unique(fold):
        own, others = fold == number, fold != number
        if not others.any():
            others = own
        predicted[own] = decide(probabilities[own], fit(probabilities[others], truth[others]))
    present = np.unique(truth).tolist()
    if len(present) < 2:
        return None
    evaluated = ClassifiedImages(
        class_names=validation.class_names,
        truth=truth,
        predicted=predicted,
        probabilities=probabilities,
    )
    _, balanced_accuracy, *_ = build_headline_statistics(evaluated, classes=present)
    return compute_value(balanced_accuracy)


def _take_best(scores: dict[RuleName, float]) -> RuleName:
    chosen: RuleName = "argmax"
    for name, score in scores.items():
        if score >= scores[chosen] + _MIN_GAIN:
            chosen = name
    return chosen
