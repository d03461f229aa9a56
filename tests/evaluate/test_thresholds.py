from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.operating_point import build_plain_operating_point
from cxresnet.evaluate.thresholds import ChosenThreshold, choose_thresholds
from cxresnet.predict import Predictions

Draw = Callable[..., Predictions]


def _table(draw: Draw, second: list[float], truth: list[int]) -> Predictions:
    """Films of two classes whose probability of the second is given."""
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
# From the top, films of b found (of 4) and false alarms (of 4):
#   .9: 1, 0   .8: 2, 0   .7: 2, 1   .6: 3, 1   .5: 3, 2   .4: 3, 3   .3: 4, 3   .2: 4, 4


@pytest.mark.parametrize(
    ("settings", "aim", "threshold"),
    [
        # All four are found from .3 on: half-way to the next film.
        ({"least_sensitivity": 0.95}, "sensitivity", 0.25),
        # Three of four are 75 %: from .6 on, half-way to .5.
        ({"least_sensitivity": 0.75}, "sensitivity", 0.55),
        # 2/4 - 0 and 3/4 - 1/4 are the same; the higher threshold is taken.
        ({}, "youden", 0.75),
        # Cost ½: 2 missed = 1 (from .8), 1 missed + 1 alarm = 1.5.
        ({"cost_of_miss": 0.5}, "cost", 0.75),
        # Cost 10: 1 missed + 1 alarm = 11, 3 alarms = 3 (from .3).
        ({"cost_of_miss": 10.0}, "cost", 0.25),
    ],
)
def test_the_threshold_is_the_one_worked_out_by_hand(
    draw_predictions: Draw, settings: dict[str, float], aim: str, threshold: float
) -> None:
    chosen = _choose(_table(draw_predictions, SCORES, TRUTH), **settings)[1, aim]
    assert chosen.threshold == pytest.approx(threshold, abs=1e-6)
    assert chosen.chosen_on == "8 validation films"


def test_what_validation_gives_at_the_threshold_is_written_down(draw_predictions: Draw) -> None:
    chosen = _choose(_table(draw_predictions, SCORES, TRUTH), least_sensitivity=0.75)
    scores = chosen[1, "sensitivity"].on_validation
    assert (scores.sensitivity.value, scores.specificity.value) == (0.75, 0.75)
    assert (scores.ppv.value, scores.sensitivity.n) == (0.75, 4)
    assert chosen[1, "sensitivity"].goal == "sensitivity at least 75 %"


def test_nineteen_of_twenty_are_ninety_five_percent(draw_predictions: Draw) -> None:
    scores = [0.9 - 0.01 * number for number in range(20)] + [0.05] * 20
    chosen = _choose(_table(draw_predictions, scores, [1] * 20 + [0] * 20))
    assert chosen[1, "sensitivity"].on_validation.sensitivity.value == pytest.approx(0.95)


def test_a_class_that_validation_does_not_hold_has_no_threshold(draw_predictions: Draw) -> None:
    assert _choose(_table(draw_predictions, SCORES, [0] * 8)) == {}
    unknown = replace(_table(draw_predictions, SCORES, TRUTH), truth=np.full(8, -1))
    assert _choose(unknown) == {}
