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


def test_thresholds_of_another_network_are_not_used(run: RunFolder, config: EvaluateConfig) -> None:
    run_evaluate(run, config=config)
    content = read_json(run.metrics)
    content["provenance"]["checkpoint"] = "0" * 64
    write_json(run.metrics, content)
    assert read_answer_rule(run) is None
