from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from cxresnet.metrics.calibration import (
    CalibrationNoise,
    build_calibration_statistics,
    compute_calibration_noise,
    compute_probabilities,
    compute_reliability_bins,
    fit_calibration,
    fit_temperature,
)
from cxresnet.metrics.statistic import compute_value


def _compute(probabilities: np.ndarray, truth: list[int]) -> dict[str, float | None]:
    statistics = build_calibration_statistics(probabilities, np.array(truth))
    return {item.name: compute_value(item) for item in statistics}


def test_the_losses_of_three_images_are_those_worked_out_by_hand() -> None:
    # Confidences .8 right, .8 wrong, .6 right. With 15 bins of 1/15: .8 is the upper end of bin 11,
    # .6 of bin 8. Bin 11: right ½, confidence .8, gap .3; bin 8: gap .4.
    # ECE = (2·.3 + 1·.4) / 3 = 1/3.
    # Brier: .2² + .2² = .08; .8² + .8² = 1.28; .4² + .4² = .32; mean .56.
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]])
    assert _compute(probabilities, [0, 1, 1]) == pytest.approx(
        {
            "expected_calibration_error": 1 / 3,
            "brier": 0.56,
            "negative_log_likelihood": -np.log([0.8, 0.2, 0.6]).mean(),
        }
    )


def test_the_losses_of_three_classes_are_those_worked_out_by_hand() -> None:
    # Image  truth  probabilities     confidence  right  Brier                      surprise
    # 1      c      .1  .2  .7        .7 (c)      yes    .01 + .04 + .09 = .14      -log .7
    # 2      a      .3  .2  .5        .5 (c)      no     .49 + .04 + .25 = .78      -log .3
    # 3      b      .25 .5  .25       .5 (b)      yes    .0625 · 2 + .25 = .375     -log .5
    # 4      b      .5  .5  .0        .5 (a)      no     .25 + .25 = .5             -log .5
    # Bins of 1/10: .7 is the upper end of one, gap .3; .5 of another, 1 of 3 right, gap
    # |1 - 1.5| / 3; ECE = (.3 + .5) / 4 = .2.
    probabilities = np.array([[0.1, 0.2, 0.7], [0.3, 0.2, 0.5], [0.25, 0.5, 0.25], [0.5, 0.5, 0.0]])
    truth = np.array([2, 0, 1, 1])
    statistics = build_calibration_statistics(probabilities, truth, bins=10)
    assert {item.name: compute_value(item) for item in statistics} == pytest.approx(
        {
            "expected_calibration_error": 0.2,
            "brier": (0.14 + 0.78 + 0.375 + 0.5) / 4,
            "negative_log_likelihood": -np.log([0.7, 0.3, 0.5, 0.5]).mean(),
        }
    )
    assert [item.scale for item in statistics] == ["share", "positive", "positive"]
    bins = compute_reliability_bins(probabilities, truth, bins=10)
    assert {place: (one.images, one.accuracy) for place, one in enumerate(bins) if one.images} == {
        4: (3, pytest.approx(1 / 3)),
        6: (1, 1.0),
    }


def test_weights_of_a_resample_count_in_every_loss() -> None:
    # Image 1 twice, image 2 once, image 3 never.
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.3, 0.6], [0.2, 0.2, 0.6]])
    truth = np.array([0, 1, 2])
    rows = [0, 0, 1]
    weighted = build_calibration_statistics(probabilities, truth)
    plain = build_calibration_statistics(probabilities[rows], truth[rows])
    for one, other in zip(weighted, plain, strict=True):
        assert one.compute(np.array([[2.0, 1.0, 0.0]]))[0] == pytest.approx(compute_value(other))


def test_the_temperature_of_three_uneven_classes_is_the_one_worked_out_by_hand() -> None:
    # 6, 2 and 1 images, all right, logits 4 for the true class and 0 for both others. The wanted
    # probability is 1 - 2 / (n + 3): 7/9, 3/5 and 1/2, on average (6 · 7/9 + 2 · 3/5 + 1/2) / 9.
    # With one temperature all have the same probability p, best where it is that average:
    # 4 / T = log(2 p / (1 - p)).
    truth = np.repeat([0, 1, 2], [6, 2, 1])
    wanted = (6 * 7 / 9 + 2 * 3 / 5 + 1 / 2) / 9
    expected = 4 / np.log(2 * wanted / (1 - wanted))
    assert fit_temperature(4.0 * np.eye(3)[truth], truth) == pytest.approx(expected, rel=1e-3)


def test_the_shifts_of_uneven_classes_have_mean_zero_and_raise_the_common_one() -> None:
    # Logits that say nothing: only the shifts can, and they say how common the classes are.
    truth = np.repeat([0, 1, 2], [600, 300, 100])
    temperature, shifts = fit_calibration(np.zeros((1000, 3)), truth)
    said = compute_probabilities(np.zeros((1, 3)), temperature=temperature, shifts=shifts)[0]
    assert sum(shifts) == pytest.approx(0, abs=1e-9)
    assert said == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


def test_shifts_are_added_after_the_temperature() -> None:
    # log-odds (2 - 0) / 4 + 1.5 = 2.
    said = compute_probabilities(np.array([[2.0, 0.0]]), temperature=4.0, shifts=(1.5, 0.0))
    assert said[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_losses_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    probabilities = compute_probabilities(generator.normal(size=(50, 3)))
    truth = generator.integers(3, size=50)
    found = _compute(probabilities, truth.tolist())
    assert found["negative_log_likelihood"] == pytest.approx(
        log_loss(truth, probabilities), abs=1e-9, rel=0
    )
    brier = sum(brier_score_loss(truth == index, probabilities[:, index]) for index in range(3))
    assert found["brier"] == pytest.approx(brier, abs=1e-9, rel=0)


def test_perfect_certainty_is_perfectly_calibrated() -> None:
    found = _compute(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1])
    assert found == pytest.approx(
        {"expected_calibration_error": 0, "brier": 0, "negative_log_likelihood": 0}, abs=1e-9
    )


def test_certainty_of_the_wrong_class_costs_much_but_not_infinitely() -> None:
    loss = _compute(np.array([[1.0, 0.0]]), [1])["negative_log_likelihood"]
    assert loss == pytest.approx(-np.log(1e-12))


def test_every_image_is_in_one_bin_also_at_the_edges() -> None:
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.6, 0.4], [0.2, 0.8]])
    bins = compute_reliability_bins(probabilities, np.array([0, 0, 1, 1]), bins=10)
    assert [item.images for item in bins] == [0, 0, 0, 0, 1, 1, 0, 1, 0, 1]
    assert bins[9].confidence == 1.0
    assert bins[5].accuracy == 0.0
    assert bins[0].accuracy is None
    assert (bins[0].low, bins[9].high) == (0.0, 1.0)


def test_no_images_give_empty_bins_and_no_numbers() -> None:
    nothing = np.zeros((0, 2))
    assert sum(item.images for item in compute_reliability_bins(nothing, np.zeros(0, int))) == 0
    assert set(_compute(nothing, []).values()) == {None}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found(temperature: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(20_000, 3)) * 2
    chances = compute_probabilities(logits)
    truth = (generator.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)
    assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.05)


@pytest.mark.slow
def test_the_temperature_and_the_shifts_that_made_the_logits_are_found() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(20_000, 3)) * 2
    chances = compute_probabilities(logits, temperature=1.5, shifts=(0.5, 0.5, -1.0))
    truth = (generator.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=2)
    temperature, shifts = fit_calibration(logits, truth)
    assert temperature == pytest.approx(1.5, rel=0.05)
    assert shifts == pytest.approx((0.5, 0.5, -1.0), abs=0.05)


@pytest.mark.parametrize(("images", "most"), [(2, 0.70), (20, 0.97), (200, 0.998)])
def test_a_few_images_that_are_all_right_leave_doubt(images: int, most: float) -> None:
    truth = np.arange(images) % 2
    logits = 5.0 * np.eye(2)[truth]
    temperature, shifts = fit_calibration(logits, truth)
    assert shifts == pytest.approx((0, 0), abs=1e-3)
    said = compute_probabilities(logits, temperature=temperature, shifts=shifts)
    assert 0.5 < said[0, 0] < most


def test_a_class_that_validation_does_not_have_is_not_ruled_out() -> None:
    logits = np.random.default_rng(0).normal(size=(100, 3))
    _, shifts = fit_calibration(logits, logits[:, :2].argmax(axis=1))
    assert shifts[2] > -5


def test_without_images_the_calibration_changes_nothing() -> None:
    nothing = fit_calibration(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
    assert nothing == (1.0, (0.0, 0.0))


@pytest.mark.parametrize("images", [2, 20, 200])
def test_a_few_images_that_are_all_right_do_not_make_the_network_infinitely_sure(
    images: int,
) -> None:
    # Two classes, n of each, logits (5, 0): the targets are (n + 1) / (n + 2), reached where
    # 5 / T = log(n + 1).
    truth = np.arange(images) % 2
    logits = 5.0 * np.eye(2)[truth]
    assert fit_temperature(logits, truth) == pytest.approx(5 / np.log(images / 2 + 1), rel=1e-3)


def test_without_images_the_temperature_changes_nothing() -> None:
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)) == 1.0


def test_probabilities_sum_to_one_for_huge_logits_too() -> None:
    probabilities = compute_probabilities(np.array([[1000.0, -1000.0, 0.0]]))
    assert probabilities.tolist() == [[1.0, 0.0, 0.0]]


def _compute_of_calibration_noise(
    probabilities: np.ndarray, groups: np.ndarray
) -> CalibrationNoise:
    found = compute_calibration_noise(
        probabilities, groups, resamples=400, generator=np.random.default_rng(0)
    )
    assert found is not None
    return found


def _name(images: int, per_patient: int = 1) -> np.ndarray:
    return np.array([f"patient {number // per_patient}" for number in range(images)])


def test_one_bin_of_even_chances_has_the_error_of_a_binomial() -> None:
    # 100 images at 0.5: mean |share - 0.5| of a binomial is about sqrt(2 / π) · 0.05 = 0.0399.
    found = _compute_of_calibration_noise(np.full((100, 2), 0.5), _name(100))
    assert found.mean == pytest.approx(np.sqrt(2 / np.pi) * 0.05, rel=0.1)
    assert found.high == pytest.approx(1.96 * 0.05, rel=0.15)


@pytest.mark.slow
def test_fewer_images_and_fewer_patients_make_more_noise() -> None:
    generator = np.random.default_rng(0)
    second = generator.random(1000)
    table = np.stack([1 - second, second], axis=1)
    many, few = (
        _compute_of_calibration_noise(table, _name(1000)),
        _compute_of_calibration_noise(table[:100], _name(100)),
    )
    assert few.mean > 2 * many.mean
    assert _compute_of_calibration_noise(table, _name(1000, per_patient=10)).mean > 1.3 * many.mean


def test_certainty_has_no_noise_and_no_images_no_answer() -> None:
    assert _compute_of_calibration_noise(
        np.tile([1.0, 0.0], (50, 1)), _name(50)
    ) == CalibrationNoise(0.0, 0.0)
    nothing = compute_calibration_noise(
        np.zeros((0, 2)), _name(0), resamples=10, generator=np.random.default_rng(0)
    )
    assert nothing is None
