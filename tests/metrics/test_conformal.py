"""Sets that hold the true class as often as was asked, class by class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cxresnet.metrics.conformal import (
    build_prediction_sets,
    build_risk_coverage_statistic,
    compute_expected_coverage,
    compute_risk_coverage_points,
    fit_set_thresholds,
)
from cxresnet.metrics.statistic import compute_value


def _as_two_classes(first: list[float]) -> np.ndarray:
    column = np.array(first)
    return np.stack([column, 1 - column], axis=1)


def test_by_hand_the_one_lowest_of_nine_images_is_given_up_for_ninety_percent() -> None:
    # floor((9 + 1) · (1 - 0.9)) = 1: the lowest of the nine is the threshold, and still inside.
    probabilities = _as_two_classes([0.9, 0.2, 0.8, 0.7, 0.6, 0.5, 0.95, 0.85, 0.75])
    thresholds = fit_set_thresholds(probabilities, np.zeros(9, dtype=np.int64), coverage=0.9)
    assert thresholds.tolist() == [0.2, 0.0]


def test_a_class_with_too_few_images_to_promise_anything_is_in_every_set() -> None:
    probabilities = _as_two_classes([0.9] * 8)
    thresholds = fit_set_thresholds(probabilities, np.zeros(8, dtype=np.int64), coverage=0.9)
    sets = build_prediction_sets(np.array([[0.0, 1.0]]), thresholds)
    assert sets.all()


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("images", [30, 57, 200])
def test_it_is_the_quantile_of_angelopoulos_and_bates(coverage: float, images: int) -> None:
    generator = np.random.default_rng(images)
    probabilities = generator.dirichlet(np.ones(3), size=images)
    truth = np.arange(images) % 3
    ours = fit_set_thresholds(probabilities, truth, coverage=coverage)
    for index in range(3):
        # Their code, figure 2: scores 1 - p, quantile at ceil((n + 1) coverage) / n. Its exact
        # rank is the inverse of the empirical distribution; "higher" is up to one rank wider.
        scores = 1 - probabilities[truth == index, index]
        level = math.ceil(round((len(scores) + 1) * coverage, 9)) / len(scores)
        if level > 1:
            assert ours[index] == 0
        else:
            theirs = 1 - np.quantile(scores, level, method="inverted_cdf")
            assert ours[index] == pytest.approx(theirs, abs=1e-12)


@pytest.mark.slow
def test_each_class_is_covered_as_asked_over_many_draws() -> None:
    generator = np.random.default_rng(0)
    covered = np.zeros((400, 3))
    for draw in range(400):
        truth = generator.choice(3, size=600, p=(0.6, 0.3, 0.1))
        logits = (
            generator.normal(size=(600, 3))
            + np.array([2.0, 1.0, 0.5])[truth, None] * np.eye(3)[truth]
        )
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        thresholds = fit_set_thresholds(probabilities[:300], truth[:300], coverage=0.9)
        sets = build_prediction_sets(probabilities[300:], thresholds)
        held = sets[np.arange(300), truth[300:]]
        covered[draw] = [held[truth[300:] == index].mean() for index in range(3)]
    # Exactly 1 - k / (n + 1) is promised: 0.9 to 0.9 + 1 / (n + 1), here n is about 30 to 180.
    assert np.abs(covered.mean(axis=0) - 0.9).max() < 0.03
    assert covered.mean(axis=0).min() > 0.89


@pytest.mark.parametrize("images", [19, 75])
def test_ninety_five_of_a_hundred_fits_keep_what_is_to_be_expected(images: int) -> None:
    """Probabilities of the true class are drawn evenly, so a threshold covers 1 - threshold."""
    generator = np.random.default_rng(0)
    low, high = compute_expected_coverage(images, patients=images, coverage=0.9, confidence=0.95)
    truth = np.zeros(images, dtype=np.int64)
    covered = np.array(
        [
            1 - fit_set_thresholds(generator.random((images, 1)), truth, coverage=0.9)[0]
            for _ in range(4000)
        ]
    )
    assert np.mean(covered < low) == pytest.approx(0.025, abs=0.01)
    assert np.mean(covered > high) == pytest.approx(0.025, abs=0.01)


def test_alike_images_of_a_patient_make_a_fit_as_unsure_as_so_many_patients() -> None:
    generator = np.random.default_rng(0)
    low, high = compute_expected_coverage(75, patients=25, coverage=0.9, confidence=0.95)
    truth = np.zeros(75, dtype=np.int64)
    drawn = [np.repeat(generator.random((25, 1)), 3, axis=0) for _ in range(4000)]
    covered = np.array([1 - fit_set_thresholds(one, truth, coverage=0.9)[0] for one in drawn])
    assert np.mean((covered >= low) & (covered <= high)) == pytest.approx(0.95, abs=0.015)
    alone = compute_expected_coverage(75, patients=75, coverage=0.9, confidence=0.95)
    assert np.mean((covered >= alone[0]) & (covered <= alone[1])) < 0.85


def test_a_class_that_is_in_every_set_is_always_covered() -> None:
    assert compute_expected_coverage(8, patients=8, coverage=0.9, confidence=0.95) == (1.0, 1.0)


def test_one_threshold_for_all_classes_would_break_the_promise_for_the_rare_one() -> None:
    generator = np.random.default_rng(1)
    truth = generator.choice(2, size=20_000, p=(0.95, 0.05))
    first = np.where(truth == 0, generator.beta(9, 1, 20_000), generator.beta(3, 2, 20_000))
    probabilities = np.stack([first, 1 - first], axis=1)
    own = probabilities[np.arange(20_000), truth]
    pooled = np.full(2, np.quantile(own[:10_000], 0.1))
    ours = fit_set_thresholds(probabilities[:10_000], truth[:10_000], coverage=0.9)
    rare = truth[10_000:] == 1
    held = [
        build_prediction_sets(probabilities[10_000:][rare], limits)[:, 1].mean()
        for limits in (pooled, ours)
    ]
    assert held[0] < 0.5
    assert held[1] == pytest.approx(0.9, abs=0.04)


def test_each_class_of_an_uneven_table_has_its_own_threshold_by_hand(uneven: Any) -> None:
    # At 60 %: of 12, 5 and 3 images floor(13 · 0.4) = 5, floor(6 · 0.4) = 2 and floor(4 · 0.4) = 1
    # are given up. What the table gives to the true class, lowest first:
    # a: .1 (called b) 3 times, .3 (called c) once, .6 8 times → the fifth is .6
    # b: .1 (called c), .3 (called a), .6 3 times              → the second is .3
    # c: .1 (called a), .6 twice                               → the first is .1
    thresholds = fit_set_thresholds(
        uneven.evaluated.probabilities, uneven.evaluated.truth, coverage=0.6
    )
    assert thresholds.tolist() == [0.6, 0.3, 0.1]


def test_a_set_may_be_empty_or_hold_all_and_keeps_what_is_exactly_at_the_threshold() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    sets = build_prediction_sets(probabilities, np.array([0.5, 0.4, 0.2]))
    assert sets.tolist() == [[True, False, True], [False, True, True]]
    assert not build_prediction_sets(probabilities, np.full(3, 0.6)).any()


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_the_range_of_coverage_is_of_the_confidence_asked_for(confidence: float) -> None:
    # Of 19 independent images 2 are given up for 90 %: coverage is Beta(18, 2).
    low, high = compute_expected_coverage(19, patients=19, coverage=0.9, confidence=confidence)
    spread = stats.beta(18, 2)
    assert spread.cdf(low) == pytest.approx((1 - confidence) / 2)
    assert spread.sf(high) == pytest.approx((1 - confidence) / 2)


# What is left of the mistakes when only sure answers are given.


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


def test_images_as_sure_as_each_other_are_answered_together() -> None:
    confidence, wrong = np.array([0.9, 0.5, 0.5]), np.array([False, True, False])
    # Coverage 1/3 at risk 0; then both: risk 1/3, which counts for two images.
    statistic = build_risk_coverage_statistic(confidence, wrong)
    assert compute_value(statistic) == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)


def test_an_image_drawn_twice_counts_as_two_images() -> None:
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


def test_without_images_there_is_no_curve() -> None:
    nothing = np.zeros(0)
    assert compute_risk_coverage_points(nothing, nothing.astype(bool)) is None
    assert compute_value(build_risk_coverage_statistic(nothing, nothing.astype(bool))) is None
