from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.degrees_of_freedom import (
    MAX_LEFT_OUT_GROUPS,
    MIN_DEGREES_OF_FREEDOM,
    build_leave_one_out_weights,
    choose_left_out_groups,
    compute_degrees_of_freedom,
    compute_effective_sample_size,
)
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Statistic, build_mean


def _leave_out_of_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.arange(len(values))
    stratum = np.zeros(len(values), dtype=np.intp)
    blocks = build_leave_one_out_weights(index, stratum, groups=index, at_once=7)
    return np.concatenate([weights @ values / len(values) for weights in blocks])


def _compute_freedom_of_mean(values: NDArray[np.float64]) -> float:
    return compute_degrees_of_freedom(
        _leave_out_of_mean(values),
        stratum=np.zeros(len(values), dtype=np.intp),
        sizes=np.array([len(values)]),
    )


def test_leaving_a_group_out_gives_the_mean_of_the_others() -> None:
    values = np.random.default_rng(0).normal(size=23)
    others = [np.delete(values, number).mean() for number in range(23)]
    assert _leave_out_of_mean(values) == pytest.approx(others)


def test_the_images_of_a_group_leave_together_and_other_strata_stay_as_they_are() -> None:
    index = np.array([0, 0, 1, 2, 3, 3, 3])
    stratum = np.array([0, 0, 0, 1])
    (weights,) = build_leave_one_out_weights(index, stratum, groups=np.array([0, 2]), at_once=9)
    assert weights.tolist() == [[0, 0, 1.5, 1.5, 1, 1, 1], [1.5, 1.5, 1.5, 0, 1, 1, 1]]


def test_influences_without_tails_leave_all_degrees_of_freedom() -> None:
    # Two points of equal weight: kurtosis 1, less than the normal's.
    assert _compute_freedom_of_mean(np.repeat([0.0, 1.0], 20)) == pytest.approx(39)


def test_freedom_follows_satterthwaite_where_one_group_in_ten_matters() -> None:
    values = (np.arange(200) % 10 == 0).astype(float)
    kurtosis = (1 - 3 * 0.1 * 0.9) / (0.1 * 0.9)
    expected = 1 / (1 / 199 + (kurtosis - 3) / 400)
    assert _compute_freedom_of_mean(values) == pytest.approx(expected)


@pytest.mark.slow
def test_the_spread_of_a_variance_is_what_its_freedom_says() -> None:
    # For n draws, var(s²) / σ⁴ = 2 / freedom: drawn here from a law with known heavy tails.
    generator = np.random.default_rng(0)
    draws = generator.laplace(size=(4_000, 400))
    variances = draws.var(axis=1, ddof=1)
    drawn = 2 / (variances.var() / variances.mean() ** 2)
    told = 1 / np.mean([1 / _compute_freedom_of_mean(row) for row in draws[:200]])
    assert told == pytest.approx(drawn, rel=0.15)


def test_two_strata_have_the_freedom_of_the_one_that_varies() -> None:
    generator = np.random.default_rng(0)
    quiet, loud = generator.normal(size=300) * 1e-3, generator.normal(size=12)
    stratum = np.repeat([0, 1], [300, 12])
    # Both means are of equal weight, so an image of the loud stratum moves their sum by 1/11.
    values = np.concatenate([-quiet / 299, -loud / 11])
    together = compute_degrees_of_freedom(values, stratum=stratum, sizes=np.array([300, 12]))
    alone = compute_degrees_of_freedom(
        values[300:], stratum=stratum[300:] * 0, sizes=np.array([12])
    )
    assert together == pytest.approx(alone, rel=1e-3)


def test_numbers_that_nobody_moves_limit_nothing() -> None:
    same = np.full(9, 0.5)
    assert (
        compute_degrees_of_freedom(same, stratum=np.zeros(9, dtype=np.intp), sizes=np.array([9]))
        == np.inf
    )
    unknown = np.full(9, np.nan)
    assert (
        compute_degrees_of_freedom(unknown, stratum=np.zeros(9, int), sizes=np.array([9])) == np.inf
    )


def test_two_groups_are_a_spread_and_the_others_of_another_stratum_are_none() -> None:
    both = compute_degrees_of_freedom(
        np.array([0.0, 1.0]), stratum=np.zeros(2, dtype=np.intp), sizes=np.array([2])
    )
    assert both == MIN_DEGREES_OF_FREEDOM
    # Nobody moves the number of his own stratum, though the two numbers differ.
    apart = compute_degrees_of_freedom(
        np.array([0.0, 0.0, 1.0, 1.0]), stratum=np.array([0, 0, 1, 1]), sizes=np.array([2, 2])
    )
    assert apart == np.inf


def test_one_group_that_decides_alone_leaves_the_least_freedom() -> None:
    values = np.zeros(300)
    values[0] = 1.0
    assert _compute_freedom_of_mean(values) == MIN_DEGREES_OF_FREEDOM


def test_uneven_groups_are_worth_fewer_even_ones() -> None:
    assert compute_effective_sample_size(np.arange(40)) == pytest.approx(40)
    assert compute_effective_sample_size(np.repeat(np.arange(40), 7)) == pytest.approx(40)
    # One patient with 30 images beside 30 with one each: 60² / (30² + 30).
    assert compute_effective_sample_size(
        np.repeat(np.arange(31), [30, *[1] * 30])
    ) == pytest.approx(3600 / 930)
    # Numbers of groups that have no image count for nothing.
    assert compute_effective_sample_size(np.array([5, 9])) == pytest.approx(2)


def test_of_many_groups_some_are_drawn_and_a_lonely_one_never() -> None:
    stratum = np.repeat([0, 1, 2], [1_000, 1, 5])
    chosen = choose_left_out_groups(stratum, generator=np.random.default_rng(0))
    counts = np.bincount(stratum[chosen], minlength=3)
    assert counts.tolist() == [MAX_LEFT_OUT_GROUPS, 0, 5]
    assert (np.diff(chosen) > 0).all()


def _estimate(statistic: Statistic, images: int) -> float:
    (found,) = compute_estimates(
        [statistic],
        groups=[str(number) for number in range(images)],
        resamples=4_000,
        confidence=0.95,
        generator=np.random.default_rng(0),
    ).values()
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_a_loss_that_one_image_decides_gets_a_wider_interval_than_one_that_all_decide() -> None:
    even = np.tile([0.5, 1.5], 30)
    one = np.full(60, 0.9)
    # The same mean, and the same standard deviation, from a single image.
    one[0] = 0.9 + 0.5 * np.sqrt(60)
    one += 1 - one.mean()
    assert one.std() == pytest.approx(even.std(), rel=0.02)
    wide, narrow = (
        _estimate(build_mean("loss", values, scale="real"), 60) for values in (one, even)
    )
    assert wide > 1.3 * narrow


def test_shares_of_images_are_known_as_such() -> None:
    assert build_mean("right", np.array([1.0, 0.0, np.nan])).is_share_of_images
    assert not build_mean("loss", np.array([1.0, 0.3])).is_share_of_images


@pytest.mark.slow
def test_an_area_near_one_with_few_patients_is_covered() -> None:
    # AUROC 0.99, 50 + 50 patients of 1 to 6 images that are alike; with as many degrees of freedom
    # as patients, 92 to 93 % of the intervals hold it.
    generator = np.random.default_rng(3)
    distance = 3.29  # √2 · 2.326, where Φ(2.326) = 0.99
    held = []
    for _ in range(1_500):
        patient = np.repeat(np.arange(100), generator.integers(1, 7, size=100))
        truth = patient >= 50
        own, noise = generator.normal(size=100)[patient], generator.normal(size=len(patient))
        scores = np.sqrt(0.6) * own + np.sqrt(0.4) * noise + distance * truth
        area = Statistic(
            name="auroc", compute=Auroc(truth, scores), parts=(truth, ~truth), undefined=""
        )
        (found,) = compute_estimates(
            [area],
            groups=[str(number) for number in patient],
            strata=truth,
            resamples=300,
            confidence=0.95,
            generator=generator,
        ).values()
        if found.low is not None and found.high is not None:
            held.append(found.low <= 0.98999 <= found.high)
    assert 0.935 <= np.mean(held) <= 0.97
