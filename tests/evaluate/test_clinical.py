from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ClassMapError
from cxresnet.evaluate.clinical import (
    ACTION_THRESHOLDS,
    PREVALENCES,
    choose_thresholds,
    resolve_prevalences,
)
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.operating_point import choose_operating_point
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.results import ChosenThreshold
from cxresnet.evaluate.topic import Background
from cxresnet.predict import Predictions
from cxresnet.predict.decision import apply_operating_point, build_plain_operating_point

Draw = Callable[..., Predictions]
CLASS_NAMES = ("normal", "pneumonia", "covid-19")


@pytest.fixture
def evaluation(draw_predictions: Draw) -> Evaluation:
    config = EvaluateConfig(bootstrap_resamples=100, prevalence={"covid": 0.02})
    validation = draw_predictions(120, seed=1)
    point = choose_operating_point(validation, class_shares=np.full(3, 1 / 3))
    return evaluate_predictions(
        draw_predictions(150),
        config=config,
        operating_point=point,
        background=Background(thresholds=choose_thresholds(validation, point=point, config=config)),
    )


def test_other_names_of_a_class_mean_the_class() -> None:
    given = {"covid": 0.02, "Pneumonia": 0.1}
    assert resolve_prevalences(given, CLASS_NAMES) == {"covid-19": 0.02, "pneumonia": 0.1}
    with pytest.raises(
        ClassMapError, match=r"'flu', which is not a class.* normal, pneu.*covid-19\.$"
    ):
        resolve_prevalences({"flu": 0.1}, CLASS_NAMES)
    with pytest.raises(ClassMapError, match=r"Did you mean 'covid-19'\?"):
        resolve_prevalences({"covd": 0.1}, CLASS_NAMES)


@pytest.mark.slow
def test_every_class_has_a_threshold_for_every_aim_applied_to_the_images(
    evaluation: Evaluation, draw_predictions: Draw
) -> None:
    found = [(one.class_name, one.aim) for one in evaluation.class_thresholds]
    assert found == [
        (name, aim) for name in CLASS_NAMES for aim in ("sensitivity", "youden", "cost")
    ]
    evaluated = apply_operating_point(draw_predictions(150), evaluation.operating_point)
    for one in evaluation.class_thresholds:
        index = CLASS_NAMES.index(one.class_name)
        called = evaluated.probabilities[:, index] >= one.threshold
        shown = evaluated.truth == index
        assert one.reached.sensitivity.value == pytest.approx(called[shown].mean())
        assert one.reached.specificity.value == pytest.approx((~called)[~shown].mean())
        assert one.chosen_on == "120 validation images"


@pytest.mark.slow
def test_predictive_values_are_given_where_they_were_asked_for(evaluation: Evaluation) -> None:
    (requested,) = evaluation.at_prevalence
    covid = evaluation.classes[2]
    odds = 0.02 / 0.98 * covid.sensitivity.value / (1 - covid.specificity.value)
    assert (requested.class_name, requested.prevalence) == ("covid-19", 0.02)
    assert requested.ppv.value == pytest.approx(odds / (1 + odds))
    assert {one.class_name for one in evaluation.class_thresholds if one.at_prevalence} == {
        "covid-19"
    }


@pytest.mark.slow
def test_the_rarer_the_class_the_less_a_positive_answer_is_worth(evaluation: Evaluation) -> None:
    for curve in evaluation.prevalence_curves:
        assert [point.prevalence for point in curve.points] == list(PREVALENCES)
        ppv = [point.ppv.value for point in curve.points]
        npv = [point.npv.value for point in curve.points]
        assert ppv == sorted(ppv)
        assert npv == sorted(npv, reverse=True)


@pytest.mark.slow
def test_a_skilled_network_is_worth_more_than_acting_on_all_or_on_none(
    evaluation: Evaluation,
) -> None:
    for curve in evaluation.decision_curves:
        assert curve.prevalence == pytest.approx(1 / 3)
        middle = ACTION_THRESHOLDS.index(0.4)
        assert curve.net_benefit[middle].low > max(0.0, curve.act_on_all[middle])
        assert all(one.value <= curve.prevalence + 1e-9 for one in curve.net_benefit)


Draw_of_thresholds = Callable[..., Predictions]


def _table(draw: Draw_of_thresholds, second: list[float], truth: list[int]) -> Predictions:
    """Images of two classes whose probability of the second is given."""
    scores = np.array(second)
    return replace(
        draw(len(truth), per_patient=1),
        truth=np.array(truth, dtype=np.int64),
        logits=np.log(np.stack([1 - scores, scores], axis=1)).astype(np.float32),
        class_names=("a", "b"),
    )


def _choose(predictions: Predictions, **settings: float) -> dict[tuple[int, str], ChosenThreshold]:
    config = EvaluateConfig(bootstrap_resamples=100, **settings)
    point = build_plain_operating_point(2)
    chosen = choose_thresholds(predictions, point=point, config=config)
    return {(one.class_index, one.aim): one for one in chosen}


SCORES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
TRUTH = [1, 1, 0, 1, 0, 0, 1, 0]
# From the top, images of b found (of 4) and false alarms (of 4):
#   .9: 1, 0   .8: 2, 0   .7: 2, 1   .6: 3, 1   .5: 3, 2   .4: 3, 3   .3: 4, 3   .2: 4, 4


@pytest.mark.parametrize(
    ("settings", "aim", "threshold"),
    [
        # All four are found from .3 on: half-way to the next image.
        ({"target_sensitivity": 0.95}, "sensitivity", 0.25),
        # Three of four are 75 %: from .6 on, half-way to .5.
        ({"target_sensitivity": 0.75}, "sensitivity", 0.55),
        # 2/4 - 0 and 3/4 - 1/4 are the same; the higher threshold is taken.
        ({}, "youden", 0.75),
        # Cost ½: 2 missed = 1 (from .8), 1 missed + 1 alarm = 1.5.
        ({"false_negative_cost": 0.5}, "cost", 0.75),
        # Cost 10: 1 missed + 1 alarm = 11, 3 alarms = 3 (from .3).
        ({"false_negative_cost": 10.0}, "cost", 0.25),
    ],
)
def test_the_threshold_is_the_one_worked_out_by_hand(
    draw_predictions: Draw_of_thresholds, settings: dict[str, float], aim: str, threshold: float
) -> None:
    chosen = _choose(_table(draw_predictions, SCORES, TRUTH), **settings)[1, aim]
    assert chosen.threshold == pytest.approx(threshold, abs=1e-6)
    assert chosen.chosen_on == "8 validation images"


def test_what_validation_gives_at_the_threshold_is_written_down(
    draw_predictions: Draw_of_thresholds,
) -> None:
    chosen = _choose(_table(draw_predictions, SCORES, TRUTH), target_sensitivity=0.75)
    scores = chosen[1, "sensitivity"].on_validation
    assert (scores.sensitivity.value, scores.specificity.value) == (0.75, 0.75)
    assert (scores.ppv.value, scores.sensitivity.n) == (0.75, 4)
    assert chosen[1, "sensitivity"].goal == "sensitivity at least 75 %"


def test_nineteen_of_twenty_are_ninety_five_percent(draw_predictions: Draw_of_thresholds) -> None:
    scores = [0.9 - 0.01 * number for number in range(20)] + [0.05] * 20
    chosen = _choose(_table(draw_predictions, scores, [1] * 20 + [0] * 20))
    assert chosen[1, "sensitivity"].on_validation.sensitivity.value == pytest.approx(0.95)


def test_a_class_that_validation_does_not_hold_has_no_threshold(
    draw_predictions: Draw_of_thresholds,
) -> None:
    assert _choose(_table(draw_predictions, SCORES, [0] * 8)) == {}
    unknown = replace(_table(draw_predictions, SCORES, TRUTH), truth=np.full(8, -1))
    assert _choose(unknown) == {}
