from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from cxresnet.metrics.ranking import Auroc, AveragePrecision, build_auroc, compute_roc_points
from cxresnet.metrics.statistic import compute_value


def _ones(images: int) -> np.ndarray:
    return np.ones((1, images))


def test_ties_count_half() -> None:
    # Positives .5 and .5, negatives .5 and .1: two ties (½ each) and two wins of 4 pairs → 3/4.
    positive = np.array([True, True, False, False])
    scores = np.array([0.5, 0.5, 0.5, 0.1])
    assert Auroc(positive, scores)(_ones(4))[0] == 0.75


@pytest.mark.parametrize(("scores", "area"), [([1, 2], 1.0), ([2, 1], 0.0), ([1, 1], 0.5)])
def test_the_area_is_right_at_its_ends(scores: list[float], area: float) -> None:
    assert Auroc(np.array([False, True]), np.array(scores, dtype=float))(_ones(2))[0] == area


def test_the_area_is_not_defined_where_a_side_is_empty() -> None:
    scores = np.array([0.1, 0.2])
    assert np.isnan(Auroc(np.array([True, True]), scores)(_ones(2))[0])
    assert np.isnan(AveragePrecision(np.array([False, False]), scores)(_ones(2))[0])


def test_an_image_of_weight_zero_is_not_there() -> None:
    positive, scores = np.array([True, False, False]), np.array([0.5, 0.9, 0.1])
    assert Auroc(positive, scores)(np.array([[1.0, 0.0, 1.0]]))[0] == 1.0


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40).filter(
        lambda rows: 0 < sum(positive for positive, _ in rows) < len(rows)
    )
)
def test_area_and_precision_are_those_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    scores = np.array([row[1] for row in rows], dtype=float)
    area = sklearn_metrics.roc_auc_score(positive, scores)
    precision = sklearn_metrics.average_precision_score(positive, scores)
    assert Auroc(positive, scores)(_ones(len(rows)))[0] == pytest.approx(area)
    assert AveragePrecision(positive, scores)(_ones(len(rows)))[0] == pytest.approx(precision)


def test_the_curve_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    positive = generator.random(200) < 0.3
    scores = np.round(generator.normal(size=200) + positive, 1)
    points = compute_roc_points(positive, scores)
    run, rise, thresholds = sklearn_metrics.roc_curve(positive, scores)
    assert points is not None
    theirs = set(zip(run.round(9), rise.round(9), thresholds, strict=True))
    ours = list(
        zip(
            points.false_positive_rate.round(9),
            points.true_positive_rate.round(9),
            points.thresholds,
            strict=True,
        )
    )
    assert set(ours) <= theirs
    area = sklearn_metrics.auc(points.false_positive_rate, points.true_positive_rate)
    assert area == pytest.approx(sklearn_metrics.roc_auc_score(positive, scores))


def test_the_curve_starts_at_nothing_and_ends_at_everything() -> None:
    points = compute_roc_points(np.array([True, False]), np.array([0.9, 0.1]))
    assert points is not None
    assert points.false_positive_rate.tolist() == [0.0, 0.0, 1.0]
    assert points.true_positive_rate.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("positive", [[True, True], [False, False], []])
def test_there_is_no_curve_without_both_sides(positive: list[bool]) -> None:
    mask = np.array(positive, dtype=bool)
    assert compute_roc_points(mask, np.linspace(0, 1, len(positive))) is None


def test_an_area_between_two_groups_ignores_the_other_images() -> None:
    scores = np.array([0.9, 0.2, 0.5, 0.4, 0.7])
    positive = np.array([True, False, True, False, False])
    negative = np.array([False, True, False, True, False])
    area = build_auroc("area", scores, positive=positive, negative=negative)
    assert compute_value(area) == 1.0  # 0.9 and 0.5 are above 0.2 and 0.4; the 0.7 is in neither
    weights = np.array([[1.0, 1.0, 1.0, 1.0, 50.0], [0.0, 1.0, 1.0, 1.0, 1.0]])
    assert area.compute(weights).tolist() == [1.0, 1.0]
    other = build_auroc("area", scores, positive=negative, negative=~(positive | negative))
    assert compute_value(other) == 0.0
