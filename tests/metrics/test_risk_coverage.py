"""What is left of the mistakes when only sure answers are given."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.metrics.risk_coverage import (
    build_risk_coverage_statistic,
    compute_risk_coverage_points,
)
from cxresnet.metrics.statistic import compute_value


def test_by_hand_the_mean_of_the_risks() -> None:
    # From the surest down: right, wrong, right, right: risks 0, 1/2, 1/3, 1/4; their mean 13/48.
    confidence, wrong = np.array([0.6, 0.9, 0.8, 0.7]), np.array([False, False, True, False])
    statistic = build_risk_coverage_statistic(confidence, wrong)
    assert compute_value(statistic) == pytest.approx(13 / 48)
    points = compute_risk_coverage_points(confidence, wrong)
    assert points is not None
    assert points.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(points.risk, [0, 1 / 2, 1 / 3, 1 / 4])
    assert points.confidence.tolist() == [0.9, 0.8, 0.7, 0.6]


def test_films_as_sure_as_each_other_are_answered_together() -> None:
    confidence, wrong = np.array([0.9, 0.5, 0.5]), np.array([False, True, False])
    # Coverage 1/3 at risk 0; then both: risk 1/3, which counts for two films.
    statistic = build_risk_coverage_statistic(confidence, wrong)
    assert compute_value(statistic) == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)


def test_a_film_drawn_twice_counts_as_two_films() -> None:
    confidence, wrong = np.array([0.9, 0.7, 0.6]), np.array([False, True, False])
    statistic = build_risk_coverage_statistic(confidence, wrong)
    drawn = statistic.compute(np.array([[1.0, 2.0, 0.0]]))[0]
    twice = build_risk_coverage_statistic(confidence[[0, 1, 1]], wrong[[0, 1, 1]])
    assert drawn == pytest.approx(compute_value(twice))


def test_ranking_all_mistakes_last_is_best_and_first_is_worst() -> None:
    wrong = np.arange(100) < 20
    best = build_risk_coverage_statistic(np.arange(100.0), wrong)
    worst = build_risk_coverage_statistic(-np.arange(100.0), wrong)
    none = build_risk_coverage_statistic(np.zeros(100), wrong)
    values = [compute_value(each) for each in (best, none, worst)]
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[1] == pytest.approx(0.2)


def test_without_films_there_is_no_curve() -> None:
    nothing = np.zeros(0)
    assert compute_risk_coverage_points(nothing, nothing.astype(bool)) is None
    assert compute_value(build_risk_coverage_statistic(nothing, nothing.astype(bool))) is None
