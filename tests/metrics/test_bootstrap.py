from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cxresnet.metrics import bootstrap
from cxresnet.metrics.bootstrap import compute_estimates, estimate_mean
from cxresnet.metrics.calibration import build_calibration_statistics
from cxresnet.metrics.classification import (
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
    build_share,
)
from cxresnet.metrics.degrees_of_freedom import MIN_DEGREES_OF_FREEDOM
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic, build_mean


def _estimate_share(
    part: NDArray[np.bool_],
    groups: list[str],
    *,
    whole: NDArray[np.bool_] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    everyone = np.ones(len(part), dtype=bool) if whole is None else whole
    share = build_share("x", part=part, whole=everyone, undefined="nobody")
    return compute_estimates(
        [share],
        groups=groups,
        resamples=resamples,
        confidence=0.95,
        generator=np.random.default_rng(seed),
    )["x"]


def _name_groups(images: int, per_group: int = 1) -> list[str]:
    return [f"patient {index // per_group}" for index in range(images)]


def _draw_images(patients: int, generator: np.random.Generator, *, ease: float) -> tuple:
    """Draw patients of two classes, 1 to 6 images each, whose images are alike."""
    sizes = generator.integers(1, 7, size=patients)
    patient = np.repeat(np.arange(patients), sizes)
    shown = (generator.random(patients) < 0.4)[patient]
    likeness = generator.normal(0, 0.8, size=patients)[patient]
    score = np.where(shown, ease, -ease) + likeness + generator.normal(0, 0.6, size=len(patient))
    second = 1 / (1 + np.exp(-score))
    evaluated = ClassifiedImages(
        class_names=("a", "b"),
        truth=shown.astype(np.int64),
        predicted=(score > 0).astype(np.int64),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    return evaluated, [str(index) for index in patient]


def _build_all(evaluated: ClassifiedImages) -> list[Statistic]:
    return [*build_headline_statistics(evaluated), *build_class_statistics(evaluated, 1)]


@pytest.mark.parametrize("patients", [8, 40])
def test_the_interval_of_a_share_of_single_images_is_the_binomial_one(patients: int) -> None:
    # Three of four right, every image of its own patient: error = sqrt(.75 · .25 / (n - 1)) on the
    # plain scale, / (.75 · .25) on the logit scale; t with n - 1 degrees of freedom; odds 3.
    right = np.arange(patients) < 0.75 * patients
    found = _estimate_share(right, _name_groups(patients), resamples=50_000)
    error = np.sqrt(0.75 * 0.25 / (patients - 1)) / (0.75 * 0.25)
    reach = stats.t.ppf(0.975, patients - 1) * error
    low, high = 1 / (1 + np.exp(-(np.log(3) + np.array([-reach, reach]))))
    assert found.value == 0.75
    assert found.low == pytest.approx(low, abs=0.003)
    assert found.high == pytest.approx(high, abs=0.003)
    assert (found.n, found.groups) == (patients, patients)


def test_copies_of_a_patients_image_do_not_narrow_the_interval() -> None:
    right = np.arange(40) < 30
    once = _estimate_share(right, _name_groups(40))
    ten_times = _estimate_share(np.repeat(right, 10), _name_groups(400, per_group=10))
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high))
    assert (ten_times.n, ten_times.groups) == (400, 40)
    as_if_independent = _estimate_share(np.repeat(right, 10), _name_groups(400))
    assert as_if_independent.high - as_if_independent.low < 0.5 * (once.high - once.low)


@pytest.mark.parametrize("patients", [5, 20, 100])
def test_all_right_takes_the_exact_binomial_bound_over_patients(patients: int) -> None:
    found = _estimate_share(np.ones(3 * patients, dtype=bool), _name_groups(3 * patients, 3))
    exact = stats.binomtest(patients, patients).proportion_ci(0.95, method="exact")
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(exact.low)
    none_right = _estimate_share(np.zeros(3 * patients, dtype=bool), _name_groups(3 * patients, 3))
    assert (none_right.value, none_right.low) == (0.0, 0.0)
    assert none_right.high == pytest.approx(1 - exact.low)


def test_a_number_that_is_not_defined_says_why() -> None:
    found = _estimate_share(
        np.array([True, True]), ["a", "b"], whole=np.array([False, False]), resamples=100
    )
    assert found == Estimate(value=None, low=None, high=None, n=0, groups=0, reason="nobody")


def _estimate_one(
    statistic: Statistic,
    *,
    groups: list[str],
    strata: list[str] | None = None,
    resamples: int = 500,
) -> Estimate:
    return compute_estimates(
        [statistic],
        groups=groups,
        strata=strata,
        resamples=resamples,
        confidence=0.95,
        generator=np.random.default_rng(0),
    )[statistic.name]


def _reach_on_logit_scale(value: float, error: float, freedom: float) -> tuple[float, float]:
    reach = stats.t.ppf(0.975, freedom) * error / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-(np.log(value / (1 - value)) + np.array([-reach, reach]))))
    return float(low), float(high)


def test_two_strata_have_the_interval_worked_out_by_hand() -> None:
    # 12 patients of each class, 9 and 3 of them right: each half has the variance 3/16 of a
    # patient, so the error of the mean of both is sqrt(2 · (1/2)² · 3/16 / 11) if the classes are
    # drawn apart and independently. In one stratum it would be sqrt(1/4 / 23), 1.13 times as much;
    # with the same draws for both, sqrt(2) times.
    right = np.array([True] * 9 + [False] * 3 + [True] * 3 + [False] * 9)
    share = build_share("x", part=right, whole=np.ones(24, dtype=bool), undefined="")
    found = _estimate_one(
        share, groups=_name_groups(24), strata=["a"] * 12 + ["b"] * 12, resamples=40_000
    )
    expected = _reach_on_logit_scale(0.5, np.sqrt(0.5 * 3 / 16 / 11), 23)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.003)


def test_a_small_stratum_beside_a_large_one_keeps_its_share_of_every_resample() -> None:
    # Class a: 2 patients, 1 right; class b: 20, all right. Of a one patient is drawn and counts
    # twice: 19 + 1 ± 1 of 22 are right in a resample, so the error is 1/22.
    right = np.arange(22) > 0
    share = build_share("x", part=right, whole=np.ones(22, dtype=bool), undefined="")
    found = _estimate_one(
        share, groups=_name_groups(22), strata=["a"] * 2 + ["b"] * 20, resamples=20_000
    )
    expected = _reach_on_logit_scale(21 / 22, 1 / 22, 21)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.003)


def test_one_patient_who_decides_within_a_stratum_leaves_few_degrees_of_freedom() -> None:
    # Class a: 20 patients, all 0.2; class b: 20, all 0.8 but for one 0.3. Within the classes one
    # patient alone moves the mean, which leaves the least freedom; among all 40 it would be lost
    # between two values that are equally common. Error: 1/2 · sqrt(0.5² · 0.05 · 0.95 / 19).
    values = np.array([0.2] * 20 + [0.8] * 19 + [0.3])
    found = _estimate_one(
        build_mean("x", values, scale="real"),
        groups=_name_groups(40),
        strata=["a"] * 20 + ["b"] * 20,
        resamples=20_000,
    )
    error = 0.5 * np.sqrt(0.25 * 0.05 * 0.95 / 19)
    reach = stats.t.ppf(0.975, MIN_DEGREES_OF_FREEDOM) * error
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - reach, values.mean() + reach), abs=0.1 * reach
    )


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_the_confidence_asked_for_sets_the_reach(confidence: float) -> None:
    right = np.arange(40) < 20
    share = build_share("x", part=right, whole=np.ones(40, dtype=bool), undefined="")
    found = compute_estimates(
        [share],
        groups=_name_groups(40),
        resamples=20_000,
        confidence=confidence,
        generator=np.random.default_rng(0),
    )["x"]
    reach = stats.t.ppf((1 + confidence) / 2, 39) * np.sqrt(0.25 / 39) / 0.25
    assert np.log(found.high / (1 - found.high)) == pytest.approx(reach, rel=0.03)


def test_a_patient_is_drawn_among_those_of_the_class_that_most_of_its_images_show() -> None:
    # Ten patients with images a, a, b, all right; ten with b, b, a, all wrong: within the class of
    # the most images nobody differs, so nothing varies. By the rarest they would be mixed: c for
    # both.
    labels = ["a", "a", "b"] * 10 + ["b", "b", "a"] * 10 + ["c"]
    right = np.array([True] * 30 + [False] * 30 + [True])
    share = build_share("x", part=right, whole=np.ones(61, dtype=bool), undefined="")
    found = _estimate_one(share, groups=_name_groups(61, 3), strata=labels)
    assert found.low is None
    assert "the same in every resample" in found.reason
    assert _estimate_one(share, groups=_name_groups(61, 3)).low is not None


def test_the_part_with_the_fewest_patients_bounds_a_perfect_number() -> None:
    # Everything is right, but one part rests on 3 patients with 4 images each: their bound holds.
    few, many = np.arange(42) < 12, np.arange(42) >= 12
    groups = [*_name_groups(12, 4), *(f"other {number}" for number in range(30))]
    perfect = Statistic(
        name="x", compute=lambda weights: np.ones(len(weights)), parts=(few, many), undefined=""
    )
    found = _estimate_one(perfect, groups=groups)
    assert found.low == pytest.approx(stats.binomtest(3, 3).proportion_ci(0.95, "exact").low)
    assert (found.n, found.groups) == (42, 33)


def test_the_part_with_the_fewest_even_patients_says_how_surely_the_error_is_known() -> None:
    # The part has 4 patients with 6, 1, 1 and 1 images: worth 9² / (36 + 3) even ones, less one.
    few = np.arange(49) < 9
    groups = [*["first"] * 6, *_name_groups(43)]
    right = np.arange(49) % 2 == 0
    whole = np.ones(49, dtype=bool)
    plain = build_share("x", part=right, whole=whole, undefined="")
    statistic = Statistic(
        name="x", compute=plain.compute, parts=(whole, few), undefined="", is_share_of_images=True
    )
    found = _estimate_one(statistic, groups=groups)
    generous = _estimate_one(plain, groups=groups)
    reach, generous_reach = (
        np.log(one.high / (1 - one.high)) - np.log(one.value / (1 - one.value))
        for one in (found, generous)
    )
    everyone = 49**2 / (36 + 43)
    assert reach / generous_reach == pytest.approx(
        stats.t.ppf(0.975, 81 / 39 - 1) / stats.t.ppf(0.975, everyone - 1)
    )


def test_one_patient_in_one_part_is_too_few_however_many_there_are_in_the_other() -> None:
    few = np.arange(30) < 3
    groups = ["alone"] * 3 + _name_groups(27)
    statistic = Statistic(
        name="x",
        compute=lambda weights: (weights @ few) / weights.sum(axis=1),
        parts=(few, ~few),
        undefined="",
    )
    found = _estimate_one(statistic, groups=groups)
    assert (found.value, found.low) == (0.1, None)
    assert "one patient only" in found.reason


def test_an_uneven_table_gives_each_number_its_own_images_and_patients(
    uneven: Any,
) -> None:
    found = compute_estimates(
        build_class_statistics(uneven.evaluated, 1),
        groups=uneven.patients,
        strata=uneven.evaluated.truth,
        resamples=200,
        confidence=0.95,
        generator=np.random.default_rng(0),
    )
    # Class b by hand, from the table of `UnevenTable`: images, and patients that have one of them.
    assert {
        name[0] if isinstance(name, tuple) else name: (one.n, one.groups)
        for name, one in found.items()
    } == {
        "sensitivity": (5, 3),
        "specificity": (15, 8),
        "ppv": (6, 5),
        "npv": (14, 9),
        "f1": (8, 6),
        "auroc": (20, 11),
        "average_precision": (20, 11),
    }


def test_an_uneven_table_is_drawn_within_hospital_where_the_strata_are_hospitals(
    uneven: Any,
) -> None:
    # The share of images from the west: whoever is drawn within a hospital, patients stay 6 and 5,
    # and only how many images they have makes it vary. Drawn among all it varies more.
    west = uneven.hospitals == "west"
    share = build_share("x", part=west, whole=np.ones(20, dtype=bool), undefined="")
    groups = uneven.patients.tolist()
    within = _estimate_one(share, groups=groups, strata=uneven.hospitals.tolist())
    among = _estimate_one(share, groups=groups)
    assert within.high - within.low < 0.8 * (among.high - among.low)


def test_one_patient_gives_a_number_without_an_interval() -> None:
    found = _estimate_share(np.array([True, False]), ["a", "a"], resamples=100)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "one patient only" in found.reason


def test_a_number_that_never_varies_has_no_interval() -> None:
    found = _estimate_share(np.array([True, False] * 3), _name_groups(6, 2), resamples=100)
    assert found.value == 0.5
    assert found.low is None
    assert "the same in every resample" in found.reason


def test_resamples_that_miss_a_class_are_left_out_and_two_patients_tell_little() -> None:
    shown = np.arange(30) < 2
    found = _estimate_share(np.arange(30) % 2 == 0, _name_groups(30), whole=shown)
    assert found.value == 0.5
    assert (found.n, found.groups) == (2, 2)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.9


def test_the_same_seed_gives_the_same_interval_and_order_of_images_does_not_matter() -> None:
    right, groups = np.arange(40) % 3 > 0, _name_groups(40, 2)
    once = _estimate_share(right, groups, seed=5)
    assert _estimate_share(right, groups, seed=5) == once
    assert _estimate_share(right, groups, seed=6) != once
    order = np.random.default_rng(0).permutation(40)
    assert _estimate_share(right[order], [groups[index] for index in order], seed=5) == once


def test_no_images_give_no_numbers() -> None:
    found = _estimate_share(np.zeros(0, dtype=bool), [], resamples=100)
    assert (found.value, found.n, found.reason) == (None, 0, "nobody")


def test_a_difference_may_be_negative_and_a_loss_may_exceed_one() -> None:
    generator = np.random.default_rng(0)
    worse = generator.random(200) < 0.5
    everyone = (np.ones(200, dtype=bool),)
    difference = Statistic(
        name="difference",
        compute=lambda weights: (weights @ (worse - 0.9)) / weights.sum(axis=1),
        parts=everyone,
        undefined="",
        scale="difference",
    )
    loss = Statistic(
        name="loss",
        compute=lambda weights: (weights @ (5.0 * worse)) / weights.sum(axis=1),
        parts=everyone,
        undefined="",
        scale="positive",
    )
    found = compute_estimates(
        [difference, loss],
        groups=_name_groups(200),
        resamples=500,
        confidence=0.95,
        generator=generator,
    )
    assert -1 <= found["difference"].low < found["difference"].value < found["difference"].high < 0
    assert 1 < found["loss"].low < found["loss"].value < found["loss"].high


def test_blocks_of_resamples_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    right, groups = np.arange(60) % 4 > 0, _name_groups(60, 3)
    share = build_share("x", part=right, whole=np.ones(60, dtype=bool), undefined="")
    strata = ["a"] * 24 + ["b"] * 36
    whole = _estimate_one(share, groups=groups, strata=strata, resamples=300)
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", 60 * 7)
    in_blocks = _estimate_one(share, groups=groups, strata=strata, resamples=300)
    ends = (whole.low, whole.high)
    assert (in_blocks.low, in_blocks.high) == pytest.approx(ends, rel=1e-12)


@pytest.mark.slow
def test_two_thousand_resamples_of_600_images_and_many_numbers_take_seconds() -> None:
    evaluated, groups = _draw_images(180, np.random.default_rng(0), ease=1.0)
    statistics = [
        *build_headline_statistics(evaluated),
        *build_class_statistics(evaluated, 0),
        *build_class_statistics(evaluated, 1),
        *build_calibration_statistics(evaluated.probabilities, evaluated.truth),
    ]
    started = time.process_time()
    compute_estimates(
        statistics,
        groups=groups,
        resamples=2000,
        confidence=0.95,
        generator=np.random.default_rng(0),
    )
    assert time.process_time() - started < 20


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "ease"), [(60, 0.8), (150, 1.2)])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(patients: int, ease: float) -> None:
    generator = np.random.default_rng(7)
    population, _ = _draw_images(200_000, generator, ease=ease)
    names = [statistic.name for statistic in _build_all(population)]
    truth = np.array(
        [
            statistic.compute(np.ones((1, len(population.truth))))[0]
            for statistic in _build_all(population)
        ]
    )
    data_sets = 1000
    held = np.zeros(len(names))
    for _ in range(data_sets):
        evaluated, groups = _draw_images(patients, generator, ease=ease)
        found = compute_estimates(
            _build_all(evaluated),
            groups=groups,
            resamples=300,
            confidence=0.95,
            generator=generator,
        )
        held += [
            found[name].low <= value <= found[name].high
            for name, value in zip(names, truth, strict=True)
        ]
    covered = dict(zip(names, held / data_sets, strict=True))
    # 1,000 data sets know a coverage to ±0.014.
    assert min(covered.values()) >= 0.93 - 0.014, covered
    assert max(covered.values()) <= 0.97 + 0.014, covered
    assert np.mean(list(covered.values())) == pytest.approx(0.95, abs=0.02), covered


# The mean over patients: by hand, against SciPy, and where it is not known.


def test_the_interval_is_students() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.4, 0.15])
    found = estimate_mean(values, scale="difference")
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (found.n, found.groups) == (5, 5)


def test_unknown_values_are_left_out_and_not_counted() -> None:
    found = estimate_mean([0.2, float("nan"), 0.4], scale="difference")
    assert (found.value, found.n) == (pytest.approx(0.3), 2)


def test_without_a_value_the_reason_is_given() -> None:
    found = estimate_mean([float("nan")], scale="difference")
    assert (found.value, found.low, found.high) == (None, None, None)
    assert (found.n, found.groups) == (0, 0)
    assert found.reason


def test_one_patient_gives_no_interval() -> None:
    found = estimate_mean([0.5], scale="share")
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert (found.n, found.groups) == (1, 1)
    assert "one image" in found.reason


def test_equal_values_give_a_value_and_say_why_there_is_no_interval() -> None:
    found = estimate_mean([0.5, 0.5, 0.5], scale="difference")
    assert (found.value, found.low) == (0.5, None)
    assert "same" in found.reason
