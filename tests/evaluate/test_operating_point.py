from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from cxresnet.evaluate.operating_point import choose_operating_point
from cxresnet.metrics.calibration import compute_probabilities, fit_temperature
from cxresnet.predict import Predictions
from cxresnet.predict.decision import (
    OperatingPoint,
    apply_operating_point,
    build_plain_operating_point,
    decide,
)

_EVEN = np.full(3, 1 / 3)


def _build_two_class_images(probabilities: list[float], truth: list[int]) -> Predictions:
    second = np.array(probabilities)
    names = tuple(str(number) for number in range(len(truth)))
    return Predictions(
        image_ids=names,
        patient_ids=names,
        group_ids=names,
        sources=("here",) * len(names),
        truth=np.array(truth, dtype=np.int64),
        logits=np.stack([np.zeros(len(truth)), np.log(second / (1 - second))], axis=1).astype(
            np.float32
        ),
        class_names=("a", "b"),
    )


def _undo(point: OperatingPoint) -> tuple[float, ...]:
    """Take the shifts out of the weights: what each class weighs beside plain probabilities."""
    weights = np.array(point.weights) * np.exp(point.shifts or 0.0)
    return tuple((weights / weights.mean()).tolist())


def test_the_largest_weighted_probability_wins() -> None:
    # .6 · 1 against .4 · 2 = .8.
    assert decide(np.array([[0.6, 0.4]]), np.array([1.0, 2.0])).tolist() == [1]
    assert decide(np.array([[0.6, 0.4]]), np.array([1.0, 1.0])).tolist() == [0]


def test_the_plain_operating_point_is_the_networks_own_answer(
    draw_predictions: Callable[..., Predictions],
) -> None:
    predictions = draw_predictions(30)
    evaluated = apply_operating_point(predictions, build_plain_operating_point(3))
    assert evaluated.predicted.tolist() == predictions.logits.argmax(axis=1).tolist()
    np.testing.assert_allclose(evaluated.probabilities, predictions.probabilities)


def test_youden_puts_the_threshold_half_way_between_the_two_sides() -> None:
    # All of b is above .8, all of a below .7; 101 images of each, so that the temperature is not 1
    # but monotone: what is decided stays the same.
    a, b = np.linspace(0.1, 0.7, 101), np.linspace(0.8, 0.95, 101)
    images = _build_two_class_images([*a, *b], [0] * 101 + [1] * 101)
    point = choose_operating_point(images, class_shares=np.array([0.5, 0.5]), rule="youden")
    assert point.rule == "youden"
    assert apply_operating_point(images, point).predicted.tolist() == images.truth.tolist()
    between = _build_two_class_images([0.74, 0.76], [0, 1])
    assert apply_operating_point(between, point).predicted.tolist() == [0, 1]
    plain = apply_operating_point(images, build_plain_operating_point(2)).predicted
    assert (plain != images.truth).sum() > 30


def test_auto_takes_the_rule_that_validation_shows_to_be_better() -> None:
    a, b = np.linspace(0.1, 0.7, 101), np.linspace(0.8, 0.95, 101)
    images = _build_two_class_images([*a, *b], [0] * 101 + [1] * 101)
    point = choose_operating_point(images, class_shares=np.array([0.5, 0.5]))
    assert point.rule == "youden"
    assert point.scores["youden"] > point.scores["argmax"] + 0.1
    assert point.chosen_on == "202 validation images"


def test_auto_stays_with_the_plain_rule_where_nothing_is_gained(
    draw_predictions: Callable[..., Predictions],
) -> None:
    point = choose_operating_point(draw_predictions(600), class_shares=_EVEN)
    assert point.rule == "argmax"
    assert _undo(point) == pytest.approx((1.0, 1.0, 1.0))
    assert set(point.scores) == {"argmax", "balanced", "youden"}


def test_balanced_weights_are_the_inverse_of_the_training_shares() -> None:
    images = _build_two_class_images([0.2, 0.9, 0.4, 0.6], [0, 1, 0, 1])
    point = choose_operating_point(images, class_shares=np.array([0.8, 0.2]), rule="balanced")
    # 1/.8 = 1.25 and 1/.2 = 5: the second class weighs 4 times the first where the rule was chosen,
    # which is at the temperature alone.
    first, second = _undo(point)
    alone = fit_temperature(images.logits, images.truth)
    assert (second / first) ** (point.temperature / alone) == pytest.approx(4)


@pytest.mark.parametrize("rule", ["argmax", "balanced", "youden"])
def test_shifts_change_what_is_said_and_not_what_is_decided(
    draw_predictions: Callable[..., Predictions], rule: Literal["argmax", "balanced", "youden"]
) -> None:
    # A network that says the last class too often, by 2 in log-odds.
    fair = draw_predictions(600, skill=1.0)
    greedy = replace(fair, logits=fair.logits + np.array([0, 0, 2], dtype=np.float32))
    shares = np.array([0.5, 0.3, 0.2])
    point = choose_operating_point(greedy, class_shares=shares, rule=rule)

    said = apply_operating_point(greedy, point)
    assert point.shifts[2] < min(point.shifts[:2]) - 1
    assert np.mean(said.probabilities[:, 2]) == pytest.approx(np.mean(fair.truth == 2), abs=0.02)
    alone = fit_temperature(greedy.logits, greedy.truth)
    undone = np.array(_undo(point)) ** (point.temperature / alone)
    plain = compute_probabilities(greedy.logits, temperature=alone)
    assert said.predicted.tolist() == decide(plain, undone).tolist()
    if rule == "argmax":
        assert said.predicted.tolist() == greedy.logits.argmax(axis=1).tolist()


def test_a_network_too_sure_of_itself_is_cooled(
    draw_predictions: Callable[..., Predictions],
) -> None:
    calm = draw_predictions(900, skill=1.5)
    shouting = replace(calm, logits=calm.logits * 5)
    cooled = choose_operating_point(shouting, class_shares=_EVEN).temperature
    assert cooled == pytest.approx(
        5 * choose_operating_point(calm, class_shares=_EVEN).temperature, rel=0.02
    )


def test_images_without_a_class_choose_nothing(
    draw_predictions: Callable[..., Predictions],
) -> None:
    predictions = draw_predictions(60)
    half = np.where(np.arange(60) < 30, predictions.truth, -1)
    assert choose_operating_point(
        replace(predictions, truth=half), class_shares=_EVEN
    ) == choose_operating_point(predictions.select(np.arange(60) < 30), class_shares=_EVEN)


@pytest.mark.parametrize("images", [0, 1, 2])
def test_hardly_any_validation_images_leave_the_plain_rule(
    draw_predictions: Callable[..., Predictions], images: int
) -> None:
    few = draw_predictions(6).select(np.arange(6) < images)
    point = choose_operating_point(few, class_shares=_EVEN)
    assert point.rule == "argmax"
    assert _undo(point) == pytest.approx((1.0, 1.0, 1.0))


def test_one_class_alone_cannot_compare_rules(draw_predictions: Callable[..., Predictions]) -> None:
    predictions = draw_predictions(90)
    point = choose_operating_point(predictions.select(predictions.truth == 1), class_shares=_EVEN)
    assert point.rule == "argmax"
    assert point.scores == {}


@pytest.mark.slow
def test_the_rule_is_scored_on_patients_that_did_not_fit_it() -> None:
    # Probabilities that know nothing: a threshold looks clearly better than chance on the dozen
    # patients that it was fitted on, and cannot on others.
    on_itself, scored = [], []
    for seed in range(60):
        chances = np.random.default_rng(seed).uniform(0.05, 0.95, size=12)
        images = _build_two_class_images(chances.tolist(), [0, 1] * 6)
        point = choose_operating_point(images, class_shares=np.array([0.5, 0.5]), rule="youden")
        on_itself.append(np.mean(apply_operating_point(images, point).predicted == images.truth))
        scored.append(point.scores["youden"])
    assert np.mean(on_itself) > 0.58
    assert np.mean(scored) < 0.55


@pytest.mark.slow
def test_images_of_one_patient_neither_fit_the_rule_nor_score_it_together() -> None:
    """Three images that show the same add no evidence: the score is that of one a patient."""
    once, thrice = [], []
    for seed in range(8):
        chances = np.random.default_rng(seed).uniform(0.05, 0.95, size=12)
        single = _build_two_class_images(chances.tolist(), [0, 1] * 6)
        copies = replace(
            _build_two_class_images(np.repeat(chances, 3).tolist(), ([0] * 3 + [1] * 3) * 6),
            group_ids=tuple(np.repeat(single.group_ids, 3).tolist()),
        )
        for images, scored in ((single, once), (copies, thrice)):
            point = choose_operating_point(images, class_shares=np.array([0.5, 0.5]), rule="youden")
            scored.append(point.scores["youden"])
    assert thrice == pytest.approx(once)


@pytest.mark.slow
def test_the_rule_of_unequal_patients_is_scored_on_other_patients(
    draw_unkind_predictions: Callable[..., Predictions],
) -> None:
    """Images that know nothing of the class, but their patient: only a leak can score above ⅓."""
    scores = []
    for seed in range(10):
        images = draw_unkind_predictions(40, skill=0.0, seed=seed)
        point = choose_operating_point(images, class_shares=_EVEN, rule="youden")
        scores.append(point.scores["youden"])
    assert np.mean(scores) < 0.37
