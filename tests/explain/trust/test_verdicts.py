"""Thresholds: just on either side, and where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.trust.likeness import MEASURES
from cxresnet.explain.trust.measures import Kept
from cxresnet.explain.trust.verdicts import (
    RULES,
    judge_covering,
    judge_lungs,
    judge_pointing,
    judge_repeatability,
    judge_weights,
)

NEAR = np.array([-0.01, 0.0, 0.01])
NOTHING = np.full(3, np.nan)


def _keep(value: float, **others: float) -> Kept:
    return {measure: others.get(measure, value) + NEAR for measure in MEASURES}


def test_every_rule_has_its_reason_and_source() -> None:
    assert all(rule.passes and rule.reason and rule.source for rule in RULES)
    assert len({rule.test for rule in RULES}) == len(RULES) == 6


def test_maps_that_lose_their_likeness_pass() -> None:
    steps = [("head", _keep(0.9)), ("stage", _keep(0.1)), ("stem", _keep(0.0))]
    assert judge_weights([steps[0], ("upper", _keep(0.2)), *steps[1:]]).verdict == "pass"


def test_one_measure_at_one_late_step_is_enough_to_fail() -> None:
    steps = [("head", _keep(0.1)), ("stage", _keep(0.1, ssim=0.8)), ("stem", _keep(0.0))]
    result = judge_weights([steps[0], ("upper", _keep(0.1)), *steps[1:]])
    assert result.verdict == "fail"
    assert "SSIM" in result.measures[0].name
    assert "stage" in result.measures[0].name
    assert "0.80" in result.sentence


def test_what_is_kept_while_the_lower_half_is_whole_decides_nothing() -> None:
    steps = [("head", _keep(0.9)), ("upper", _keep(0.1)), ("lower", _keep(0)), ("stem", _keep(0))]
    assert judge_weights(steps).verdict == "pass"


def test_the_interval_must_lie_on_the_right_side_not_the_mean_alone() -> None:
    wide = {measure: np.array([-0.4, 0.4, 0.9]) for measure in MEASURES}
    assert judge_weights([("head", wide)]).verdict == "fail"
    assert judge_repeatability({m: np.array([0.2, 0.9, 0.9]) for m in MEASURES}, None).verdict == (
        "fail"
    )


def test_steady_maps_pass_and_another_seed_can_fail_them() -> None:
    assert judge_repeatability(_keep(0.9), None).verdict == "pass"
    result = judge_repeatability(_keep(0.9), _keep(0.3))
    assert result.verdict == "fail"
    assert "seed" in result.measures[0].name


def test_both_rivals_must_be_beaten() -> None:
    better, worse = 0.2 + NEAR, -0.1 + NEAR
    assert judge_covering("deletion", {"random": better, "edges": better}).verdict == "pass"
    result = judge_covering("deletion", {"random": better, "edges": worse})
    assert result.verdict == "fail"
    assert "edges" in result.sentence


def test_empty_maps_fail_because_nothing_can_be_measured() -> None:
    result = judge_weights([("head", dict.fromkeys(MEASURES, NOTHING))])
    assert result.verdict == "fail"
    assert "Nothing could be measured" in result.sentence


def test_the_lungs_must_hold_more_than_their_share() -> None:
    areas = np.full(3, 0.3)
    more = judge_lungs(0.6 + NEAR, areas, targets=[0, 1, 1], class_names=("a", "b"))
    less = judge_lungs(0.2 + NEAR, areas, targets=[0, 1, 1], class_names=("a", "b"))
    assert (more.verdict, less.verdict) == ("pass", "fail")
    assert "60% of the weight" in more.sentence


def test_a_class_that_looks_elsewhere_fails_although_the_mean_is_fine() -> None:
    shares, areas = np.array([0.7, 0.72, 0.7, 0.71, 0.1]), np.full(5, 0.3)
    result = judge_lungs(shares, areas, targets=[0, 0, 0, 0, 1], class_names=("a", "b"))
    assert result.verdict == "fail"
    assert result.measures[0].name == "b"


def test_without_masks_there_is_no_verdict() -> None:
    assert judge_lungs(NOTHING, NOTHING, targets=[0] * 3, class_names=("a",)).verdict == (
        "not tested"
    )
    assert judge_pointing(NOTHING, NOTHING).verdict == "not tested"


@pytest.mark.parametrize(
    ("hits", "verdict"),
    [([1.0] * 10, "pass"), ([1.0] * 4 + [0.0] * 6, "fail"), ([0.0] * 10, "fail")],
)
def test_the_lesion_must_be_hit_more_often_than_not(hits: list[float], verdict: str) -> None:
    assert judge_pointing(np.array(hits), np.full(10, 0.05)).verdict == verdict


def test_hits_that_chance_would_give_do_not_pass() -> None:
    assert judge_pointing(np.array([1.0] * 6 + [0.0] * 4), np.full(10, 0.5)).verdict == "fail"
