from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import ClassMapError
from cxresnet.evaluate.clinical import ACTION_THRESHOLDS, PREVALENCES, resolve_prevalences
from cxresnet.evaluate.from_predictions import Background, evaluate_predictions
from cxresnet.evaluate.operating_point import choose_operating_point, judge
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.thresholds import choose_thresholds
from cxresnet.predict import Predictions

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
        ClassMapError, match=r"'flu', which is no class.* normal, pneu.*covid-19\.$"
    ):
        resolve_prevalences({"flu": 0.1}, CLASS_NAMES)
    with pytest.raises(ClassMapError, match=r"Did you mean 'covid-19'\?"):
        resolve_prevalences({"covd": 0.1}, CLASS_NAMES)


def test_every_class_has_a_threshold_for_every_aim_applied_to_the_films(
    evaluation: Evaluation, draw_predictions: Draw
) -> None:
    found = [(one.class_name, one.aim) for one in evaluation.class_thresholds]
    assert found == [
        (name, aim) for name in CLASS_NAMES for aim in ("sensitivity", "youden", "cost")
    ]
    judged = judge(draw_predictions(150), evaluation.operating_point)
    for one in evaluation.class_thresholds:
        index = CLASS_NAMES.index(one.class_name)
        called = judged.probabilities[:, index] >= one.threshold
        shown = judged.truth == index
        assert one.reached.sensitivity.value == pytest.approx(called[shown].mean())
        assert one.reached.specificity.value == pytest.approx((~called)[~shown].mean())
        assert one.chosen_on == "120 validation films"


def test_predictive_values_are_given_where_they_were_asked_for(evaluation: Evaluation) -> None:
    (asked,) = evaluation.at_prevalence
    covid = evaluation.classes[2]
    odds = 0.02 / 0.98 * covid.sensitivity.value / (1 - covid.specificity.value)
    assert (asked.class_name, asked.prevalence) == ("covid-19", 0.02)
    assert asked.ppv.value == pytest.approx(odds / (1 + odds))
    assert {one.class_name for one in evaluation.class_thresholds if one.at_prevalence} == {
        "covid-19"
    }


def test_the_rarer_the_class_the_less_a_positive_answer_is_worth(evaluation: Evaluation) -> None:
    for curve in evaluation.prevalence_curves:
        assert [point.prevalence for point in curve.points] == list(PREVALENCES)
        ppv = [point.ppv.value for point in curve.points]
        npv = [point.npv.value for point in curve.points]
        assert ppv == sorted(ppv)
        assert npv == sorted(npv, reverse=True)


def test_a_skilled_network_is_worth_more_than_acting_on_all_or_on_none(
    evaluation: Evaluation,
) -> None:
    for curve in evaluation.decision_curves:
        assert curve.prevalence == pytest.approx(1 / 3)
        middle = ACTION_THRESHOLDS.index(0.4)
        assert curve.net_benefit[middle].low > max(0.0, curve.act_on_all[middle])
        assert all(one.value <= curve.prevalence + 1e-9 for one in curve.net_benefit)
