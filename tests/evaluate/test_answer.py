"""From the network's probabilities to what is said about one film."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.evaluate.answer import AnswerRule, read_answer_rule
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.operating_point import build_plain_operating_point, judge
from cxresnet.evaluate.record import read_evaluation
from cxresnet.evaluate.selective import evaluate_selectively
from cxresnet.predict import Predictions, read_predictions


@pytest.fixture
def rule(draw_predictions: Callable[..., Predictions], config: EvaluateConfig) -> AnswerRule:
    plain = build_plain_operating_point(3)
    judged = judge(draw_predictions(300, skill=3.0), plain)
    groups = [str(row) for row in range(300)]
    result = evaluate_selectively(
        judged,
        judged,
        validation_group_ids=groups,
        group_ids=groups,
        config=config,
        name="test",
    )
    return AnswerRule(point=plain, selective=result)


def test_a_sure_film_gets_its_class_and_a_doubtful_one_cannot_tell(rule: AnswerRule) -> None:
    sure = rule.answer((0.01, 0.01, 0.98))
    assert (sure.said, sure.class_name, sure.possible) == ("covid-19", "covid-19", ("covid-19",))
    doubtful = rule.answer((0.45, 0.45, 0.10))
    assert doubtful.said == "cannot tell"
    assert doubtful.class_name == "normal"
    assert set(doubtful.possible) != {"normal"}
    assert sum(doubtful.probabilities) == pytest.approx(1)


def test_the_set_is_made_of_calibrated_probabilities(rule: AnswerRule) -> None:
    # At temperature 4 the weights are .9^¼ = .974 and twice .05^¼ = .473: .507, .246 and .246.
    cool = rule.point.model_copy(update={"temperature": 4.0})
    classes = tuple(one.model_copy(update={"threshold": 0.2}) for one in rule.selective.classes)
    selective = rule.selective.model_copy(update={"classes": classes})
    sure = (0.9, 0.05, 0.05)
    assert AnswerRule(point=rule.point, selective=selective).answer(sure).said == "normal"
    doubtful = AnswerRule(point=cool, selective=selective).answer(sure)
    assert doubtful.probabilities == pytest.approx((0.507, 0.246, 0.246), abs=1e-3)
    assert doubtful.possible == ("normal", "pneumonia", "covid-19")
    assert (doubtful.class_name, doubtful.said) == ("normal", "cannot tell")


def test_the_weights_of_the_operating_point_decide_the_class(rule: AnswerRule) -> None:
    weighted = rule.point.model_copy(update={"weights": (1.0, 1.0, 9.0)})
    answer = AnswerRule(point=weighted, selective=rule.selective).answer((0.7, 0.2, 0.1))
    # .7 · 1 against .1 · 9 = .9.
    assert answer.class_name == "covid-19"


def test_a_probability_of_exactly_zero_is_no_error(rule: AnswerRule) -> None:
    assert rule.answer((1.0, 0.0, 0.0)).said == "normal"


def test_a_run_answers_for_a_file_as_its_evaluation_did(
    run: RunFolder, config: EvaluateConfig
) -> None:
    assert read_answer_rule(run) is None
    run_evaluate(run, config=config)
    rule = read_answer_rule(run)
    assert rule is not None
    table = read_predictions(run.predictions)
    judged = judge(table, read_evaluation(run.metrics).operating_point)
    for row in range(len(table)):
        answer = rule.answer(tuple(table.probabilities[row]))
        assert answer.class_name == table.class_names[judged.predicted[row]]
        np.testing.assert_allclose(answer.probabilities, judged.probabilities[row], atol=1e-9)


@pytest.mark.parametrize("name", ["metrics.json", "selective.json"])
def test_a_run_without_one_of_its_two_files_has_no_answer(
    run: RunFolder, config: EvaluateConfig, name: str
) -> None:
    run_evaluate(run, config=config.model_copy(update={"baselines": False}))
    (run.evaluate / name).unlink()
    assert read_answer_rule(run) is None


def test_thresholds_of_another_network_are_not_used(run: RunFolder, config: EvaluateConfig) -> None:
    run_evaluate(run, config=config)
    content = read_json(run.metrics)
    content["provenance"]["checkpoint"] = "0" * 64
    write_json(run.metrics, content)
    assert read_answer_rule(run) is None
