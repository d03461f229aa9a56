"""The difference of two numbers that rest on different patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.paired import (
    build_pair_statistics,
    compare_independent,
    compute_delong,
    compute_mcnemar,
)
from cxresnet.metrics.statistic import compute_value


def _number(value: float, reach: float) -> Estimate:
    return Estimate(value=value, low=value - reach, high=value + reach, n=200, groups=150)


def test_the_interval_of_a_difference_of_two_tests_is_worked_out_by_hand() -> None:
    # Reaches 3 and 4 make 5.
    found = compare_independent(_number(0.8, 0.03), _number(0.7, 0.04))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.05, 0.15))
    assert (found.n, found.groups) == (400, 150)


# Two judges of the same images: McNemar and DeLong, by hand and pair by pair.


def _alone(images: int) -> np.ndarray:
    return np.array([str(number) for number in range(images)])


def test_mcnemar_by_hand() -> None:
    # 1 image that only the first gets right, 5 that only the second does:
    # 2 · (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
    first = np.array([True] + [False] * 5 + [True] * 7 + [False] * 2)
    second = np.array([False] + [True] * 5 + [True] * 7 + [False] * 2)
    found = compute_mcnemar(first, second)
    assert (found.only_first, found.only_second) == (1, 5)
    assert found.p_value == pytest.approx(14 / 64)


def test_judges_that_never_differ_give_no_reason_to_doubt() -> None:
    right = np.array([True, False])
    assert compute_mcnemar(right, right).p_value == 1.0


def test_delong_by_hand() -> None:
    # First: images of the class score 3 and 1, others 2 and 0: three of four pairs in order.
    # Second: all four in order, no spread. Placements of the first: 1, 1/2 and 1/2, 1, so both
    # sides give the variance 2/1 · (1/16 + 1/16) / 4 = 1/16; together 1/8.
    positive = np.array([True, True, False, False])
    first, second = np.array([3.0, 1.0, 2.0, 0.0]), np.array([3.0, 2.0, 1.0, 0.0])
    found = compute_delong(positive, first, second, groups=_alone(4))
    assert found is not None
    assert (found.first, found.second, found.difference) == (0.75, 1.0, -0.25)
    assert found.error == pytest.approx(np.sqrt(1 / 8))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.25 / np.sqrt(1 / 8)))


def _compare_pair_by_pair(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """DeLong 1988 as printed: kernels of all pairs, then the two covariance matrices."""
    kernels = []
    for scores in (first, second):
        above = scores[positive][:, None] - scores[~positive][None, :]
        kernels.append((above > 0) + 0.5 * (above == 0))
    by_positive = np.cov([kernel.mean(axis=1) for kernel in kernels])
    by_negative = np.cov([kernel.mean(axis=0) for kernel in kernels])
    matrix = by_positive / positive.sum() + by_negative / (~positive).sum()
    return float(np.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1]))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_delongs_formula_pair_by_pair_with_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive = generator.random(60) < 0.4
    first = np.round(generator.normal(size=60) + positive, 1)
    second = np.round(generator.normal(size=60) + 0.5 * positive + 0.5 * first, 1)
    found = compute_delong(positive, first, second, groups=_alone(60))
    assert found is not None
    assert found.first == pytest.approx(roc_auc_score(positive, first))
    assert found.second == pytest.approx(roc_auc_score(positive, second))
    assert found.error == pytest.approx(_compare_pair_by_pair(positive, first, second))


def test_images_copied_within_their_patient_make_nothing_surer() -> None:
    generator = np.random.default_rng(3)
    positive = generator.random(40) < 0.5
    first, second = generator.normal(size=(2, 40)) + positive
    once = compute_delong(positive, first, second, groups=_alone(40))
    twice = compute_delong(
        np.tile(positive, 2),
        np.tile(first, 2),
        np.tile(second, 2),
        groups=np.tile(_alone(40), 2),
    )
    believed = compute_delong(
        np.tile(positive, 2), np.tile(first, 2), np.tile(second, 2), groups=_alone(80)
    )
    assert once is not None
    assert twice is not None
    assert believed is not None
    assert twice.error == pytest.approx(once.error)
    assert believed.error < 0.75 * once.error


@pytest.mark.slow
def test_no_difference_is_found_in_as_many_draws_as_is_said() -> None:
    generator = np.random.default_rng(4)
    values = []
    for _ in range(600):
        positive = np.repeat(generator.random(60) < 0.5, 2)
        patient = np.repeat(generator.normal(size=(2, 60)), 2, axis=1)
        first, second = patient + generator.normal(size=(2, 120)) + positive
        groups = np.repeat(_alone(60), 2)
        found = compute_delong(positive, first, second, groups=groups)
        assert found is not None
        values.append(found.p_value)
    # 5 % of 600 is 30; binomial sd 5.3.
    assert 14 <= sum(value < 0.05 for value in values) <= 48


def test_equal_scores_differ_by_nothing() -> None:
    positive, scores = np.array([True, True, False, False]), np.array([0.9, 0.2, 0.4, 0.1])
    found = compute_delong(positive, scores, scores, groups=_alone(4))
    assert found is not None
    assert (found.difference, found.error, found.p_value) == (0.0, 0.0, 1.0)


def test_a_perfect_judge_against_a_perfectly_wrong_one_has_no_error_to_compare_with() -> None:
    positive = np.array([True, True, False, False])
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    found = compute_delong(positive, scores, -scores, groups=_alone(4))
    assert found is not None
    assert found.difference == 1.0
    assert found.p_value is None


def test_delong_with_groups_on_both_sides_is_obuchowski_by_hand(uneven: Any) -> None:
    """Obuchowski 1997, equation 4: sums over patients, of the class, the others, and of both."""
    positive = uneven.evaluated.truth != 0
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, len(positive))) + positive
    mixed = uneven.patients.copy()
    mixed[~positive & (uneven.hospitals == "west")] = uneven.patients[positive][0]
    found = compute_delong(positive, first, second, groups=mixed)
    excess = []
    for scores in (first, second):
        above = scores[positive][:, None] - scores[~positive][None, :]
        kernel = (above > 0) + 0.5 * (above == 0)
        excess.append((kernel.mean(axis=1) - kernel.mean(), kernel.mean(axis=0) - kernel.mean()))
    sides = [excess[0][side] - excess[1][side] for side in (0, 1)]
    names = [mixed[positive], mixed[~positive]]
    sums = [
        {name: float(side[own == name].sum()) for name in np.unique(own)}
        for side, own in zip(sides, names, strict=True)
    ]
    counts = [int(positive.sum()), int((~positive).sum())]
    variance = sum(
        len(one) / (len(one) - 1) * sum(value**2 for value in one.values()) / count**2
        for one, count in zip(sums, counts, strict=True)
    )
    everyone = len(np.unique(mixed))
    shared = sum(value * sums[1].get(name, 0.0) for name, value in sums[0].items())
    variance += 2 * everyone / (everyone - 1) * shared / (counts[0] * counts[1])
    assert found is not None
    assert shared != pytest.approx(0)
    assert found.error == pytest.approx(np.sqrt(variance))


def test_the_judges_swapped_swap_the_sign_and_nothing_else(uneven: Any) -> None:
    positive = uneven.evaluated.truth == 0
    first, second = np.random.default_rng(1).normal(size=(2, len(positive))) + positive
    once = compute_delong(positive, first, second, groups=uneven.patients)
    swapped = compute_delong(positive, second, first, groups=uneven.patients)
    assert once is not None
    assert swapped is not None
    assert (swapped.first, swapped.second) == (once.second, once.first)
    assert swapped.difference == -once.difference
    assert (swapped.error, swapped.p_value) == pytest.approx((once.error, once.p_value))


@pytest.mark.parametrize("side", [True, False])
def test_one_patient_on_either_side_is_too_few(side: bool) -> None:
    positive = np.array([side, side, not side, not side])
    groups = np.array(["a", "a", "b", "c"])
    assert compute_delong(positive, np.arange(4.0), np.arange(4.0), groups=groups) is None


def test_one_patient_on_a_side_is_too_few() -> None:
    positive = np.array([True, True, False, False])
    scores = np.arange(4.0)
    groups = np.array(["a", "a", "b", "c"])
    assert compute_delong(positive, scores, scores, groups=groups) is None


# Two classes told from each other, whatever the third does.


def _evaluate(truth: list[int], probabilities: list[list[float]]) -> ClassifiedImages:
    shares = np.array(probabilities)
    return ClassifiedImages(
        class_names=("a", "b", "c"),
        truth=np.array(truth),
        predicted=shares.argmax(axis=1),
        probabilities=shares,
    )


def test_a_pair_is_scored_by_the_ratio_of_its_two_probabilities() -> None:
    # a against b, p(b) / p(a): images of a have 0.5 and 2, images of b have 1 and 4.
    # Of the four pairs, b lies above a in (1 > 0.5), (4 > 0.5), (4 > 2): 3 of 4.
    # The image of c, and what goes to c, does not count.
    evaluated = _evaluate(
        [0, 0, 1, 1, 2],
        [[0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.1, 0.1, 0.8], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0]],
    )

    values = {one.name: compute_value(one) for one in build_pair_statistics(evaluated)}

    assert list(values) == ["auroc_a_vs_b", "auroc_a_vs_c", "auroc_b_vs_c"]
    assert values["auroc_a_vs_b"] == 0.75


def test_it_agrees_with_scikit_learn_on_the_images_of_the_pair() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 60)
    shares = generator.dirichlet((1, 1, 1), 60)
    evaluated = _evaluate(truth.tolist(), shares.tolist())
    both = truth != 1

    expected = roc_auc_score(truth[both] == 2, np.log(shares[both, 2] / shares[both, 0]))

    value = compute_value(build_pair_statistics(evaluated)[1])
    assert value == pytest.approx(expected, abs=1e-9)


def test_without_images_of_one_class_it_is_not_defined() -> None:
    evaluated = _evaluate([0, 0], [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])

    first = build_pair_statistics(evaluated)[0]

    assert compute_value(first) is None
    assert "no images of a or of b" in first.undefined
