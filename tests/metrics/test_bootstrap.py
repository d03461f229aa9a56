from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cxresnet.metrics.bootstrap import Estimate, compute_estimates
from cxresnet.metrics.calibration import build_calibration_statistics
from cxresnet.metrics.classification import (
    Judged,
    build_class_statistics,
    build_headline_statistics,
    build_share,
)
from cxresnet.metrics.statistic import Statistic


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


def _name_groups(films: int, per_group: int = 1) -> list[str]:
    return [f"patient {index // per_group}" for index in range(films)]


def _draw_films(patients: int, generator: np.random.Generator, *, ease: float) -> tuple:
    """Draw patients of two classes, 1 to 6 films each, whose films are alike."""
    sizes = generator.integers(1, 7, size=patients)
    patient = np.repeat(np.arange(patients), sizes)
    shown = (generator.random(patients) < 0.4)[patient]
    likeness = generator.normal(0, 0.8, size=patients)[patient]
    score = np.where(shown, ease, -ease) + likeness + generator.normal(0, 0.6, size=len(patient))
    second = 1 / (1 + np.exp(-score))
    judged = Judged(
        class_names=("a", "b"),
        truth=shown.astype(np.int64),
        predicted=(score > 0).astype(np.int64),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    return judged, [str(index) for index in patient]


def _build_all(judged: Judged) -> list[Statistic]:
    return [*build_headline_statistics(judged), *build_class_statistics(judged, 1)]


@pytest.mark.parametrize("patients", [8, 40])
def test_the_interval_of_a_share_of_single_films_is_the_binomial_one(patients: int) -> None:
    # Three of four right, every film of its own patient: error = sqrt(.75 · .25 / (n - 1)) on the
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


def test_copies_of_a_patients_film_do_not_narrow_the_interval() -> None:
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


def test_one_patient_gives_a_number_without_an_interval() -> None:
    found = _estimate_share(np.array([True, False]), ["a", "a"], resamples=100)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "one patient only" in found.reason


def test_a_number_that_never_varies_has_no_interval() -> None:
    found = _estimate_share(np.array([True, False] * 3), _name_groups(6, 2), resamples=100)
    assert found.value == 0.5
    assert found.low is None
    assert "the same whichever patients" in found.reason


def test_resamples_that_miss_a_class_are_left_out_and_two_patients_tell_little() -> None:
    shown = np.arange(30) < 2
    found = _estimate_share(np.arange(30) % 2 == 0, _name_groups(30), whole=shown)
    assert found.value == 0.5
    assert (found.n, found.groups) == (2, 2)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.9


def test_the_same_seed_gives_the_same_interval_and_order_of_films_does_not_matter() -> None:
    right, groups = np.arange(40) % 3 > 0, _name_groups(40, 2)
    once = _estimate_share(right, groups, seed=5)
    assert _estimate_share(right, groups, seed=5) == once
    assert _estimate_share(right, groups, seed=6) != once
    order = np.random.default_rng(0).permutation(40)
    assert _estimate_share(right[order], [groups[index] for index in order], seed=5) == once


def test_no_films_give_no_numbers() -> None:
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
    whole = _estimate_share(right, groups, resamples=300)
    monkeypatch.setattr("cxresnet.metrics.bootstrap._CELLS_AT_ONCE", 60 * 7)
    in_blocks = _estimate_share(right, groups, resamples=300)
    ends = (whole.low, whole.high)
    assert (in_blocks.low, in_blocks.high) == pytest.approx(ends, rel=1e-12)


@pytest.mark.slow
def test_two_thousand_resamples_of_600_films_and_many_numbers_take_seconds() -> None:
    judged, groups = _draw_films(180, np.random.default_rng(0), ease=1.0)
    statistics = [
        *build_headline_statistics(judged),
        *build_class_statistics(judged, 0),
        *build_class_statistics(judged, 1),
        *build_calibration_statistics(judged.probabilities, judged.truth),
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
    population, _ = _draw_films(200_000, generator, ease=ease)
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
        judged, groups = _draw_films(patients, generator, ease=ease)
        found = compute_estimates(
            _build_all(judged), groups=groups, resamples=300, confidence=0.95, generator=generator
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
