"""How logits become probabilities and these a class, chosen on validation films only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.seeding import build_generator
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.metrics.calibration import (
    compute_probabilities,
    fit_calibration,
    fit_temperature,
)
from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.ranking import compute_roc_points
from cxresnet.metrics.statistic import compute_value
from cxresnet.predict.predictions import Predictions

__all__ = ["build_plain_operating_point", "choose_operating_point", "decide", "judge"]

RuleName = Literal["argmax", "balanced", "youden"]

_Array = NDArray[np.float64]
_Fit = Callable[[_Array, NDArray[np.int64]], _Array]
"""From probabilities (films, classes) and truth (films,) to weights (classes,)."""

_PARTS = 5
_LEAST_GAIN = 0.01
"""A rule with more freedom must do better by one film in a hundred to be taken."""

_SMALLEST_THRESHOLD = 1e-4


def build_plain_operating_point(class_count: int) -> OperatingPoint:
    """Build the operating point that nothing was chosen for: the largest probability as it is."""
    return OperatingPoint(
        rule="argmax",
        temperature=1.0,
        weights=(1.0,) * class_count,
        chosen_on="nothing: the network's own probabilities, the largest one wins",
        scores={},
    )


def choose_operating_point(
    validation: Predictions,
    *,
    class_shares: _Array,
    rule: RuleName | Literal["auto"] = "auto",
    seed: int = 0,
) -> OperatingPoint:
    """Choose temperature, shifts and weights on validation films.

    With "auto" the rules are compared by balanced accuracy, each film judged by a rule that was
    fitted on the other patients; a rule with more freedom is taken only for a gain of 0.01. The
    rules look at probabilities without shifts, where each class weighs what it weighed in training.

    Args:
        validation: Films without a known class are passed over.
        class_shares: Of the training films, (classes,), sums to 1.
        rule: One rule, or "auto".
        seed: Of the parts that take turns.

    Returns:
        The operating point; the plain one where validation holds no film.
    """
    known = validation.select(validation.truth >= 0)
    if not len(known):
        return build_plain_operating_point(len(validation.class_names))
    temperature = fit_temperature(known.logits, known.truth)
    probabilities = compute_probabilities(known.logits, temperature=temperature)
    fits = _list_rules(class_shares)
    part = _deal_parts(known.group_ids, seed=seed)
    scores: dict[RuleName, float] = {}
    for name, fit in fits.items():
        score = _score(fit, known, probabilities, part=part)
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
        chosen_on=f"{len(known)} validation films",
        scores={name: scores[name] for name in scores},
    )


def decide(probabilities: _Array, weights: _Array) -> NDArray[np.int64]:
    """Decide the class of each film, (films,): the largest weighted probability."""
    decided: NDArray[np.int64] = (probabilities * weights).argmax(axis=1)
    return decided


def judge(predictions: Predictions, point: OperatingPoint) -> Judged:
    """Apply an operating point to films whose class is known."""
    probabilities = point.calibrate(predictions.logits)
    return Judged(
        class_names=predictions.class_names,
        truth=predictions.truth,
        predicted=decide(probabilities, np.array(point.weights)),
        probabilities=probabilities,
    )


def _list_rules(class_shares: _Array) -> dict[RuleName, _Fit]:
    """List the rules, those with less freedom first."""
    rarity = 1 / np.maximum(class_shares, 1e-3)
    return {
        "argmax": lambda probabilities, _: np.ones(probabilities.shape[1]),
        "balanced": lambda *_: rarity,
        "youden": _fit_youden,
    }


def _fit_youden(probabilities: _Array, truth: NDArray[np.int64]) -> _Array:
    """Fit one threshold a class, where its sensitivity + specificity is highest.

    A threshold lies half-way between the scores on its two sides. The weight is its inverse, so
    that the film goes to the class that is furthest above its own threshold, as a factor.

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


def _deal_parts(group_ids: tuple[str, ...], *, seed: int) -> NDArray[np.int64]:
    """Deal the groups into parts that take turns; gives the part of each film, (films,)."""
    names, index = np.unique(np.array(group_ids), return_inverse=True)
    order = build_generator(seed, "operating point").permutation(len(names))
    part: NDArray[np.int64] = order[index] % min(_PARTS, len(names))
    return part


def _score(
    fit: _Fit, validation: Predictions, probabilities: _Array, *, part: NDArray[np.int64]
) -> float | None:
    """Compute the balanced accuracy of a rule, fitted for each part on the other parts.

    The mean runs over the classes that validation holds; None where it holds fewer than two.
    """
    truth = validation.truth
    predicted = np.empty(len(truth), dtype=np.int64)
    for number in np.unique(part):
        own, others = part == number, part != number
        if not others.any():
            others = own
        predicted[own] = decide(probabilities[own], fit(probabilities[others], truth[others]))
    present = np.unique(truth).tolist()
    if len(present) < 2:
        return None
    judged = Judged(
        class_names=validation.class_names,
        truth=truth,
        predicted=predicted,
        probabilities=probabilities,
    )
    _, balanced_accuracy, *_ = build_headline_statistics(judged, classes=present)
    return compute_value(balanced_accuracy)


def _take_best(scores: dict[RuleName, float]) -> RuleName:
    chosen: RuleName = "argmax"
    for name, score in scores.items():
        if score >= scores[chosen] + _LEAST_GAIN:
            chosen = name
    return chosen
