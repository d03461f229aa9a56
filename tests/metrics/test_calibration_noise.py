from __future__ import annotations

import numpy as np
import pytest

from cxresnet.metrics.calibration_noise import CalibrationNoise, compute_calibration_noise


def _compute(probabilities: np.ndarray, groups: np.ndarray) -> CalibrationNoise:
    found = compute_calibration_noise(
        probabilities, groups, draws=400, generator=np.random.default_rng(0)
    )
    assert found is not None
    return found


def _name(films: int, per_patient: int = 1) -> np.ndarray:
    return np.array([f"patient {number // per_patient}" for number in range(films)])


def test_one_bin_of_even_chances_has_the_error_of_a_binomial() -> None:
    # 100 films at 0.5: mean |share - 0.5| of a binomial is about sqrt(2 / π) · 0.05 = 0.0399.
    found = _compute(np.full((100, 2), 0.5), _name(100))
    assert found.mean == pytest.approx(np.sqrt(2 / np.pi) * 0.05, rel=0.1)
    assert found.high == pytest.approx(1.96 * 0.05, rel=0.15)


def test_fewer_films_and_fewer_patients_make_more_noise() -> None:
    generator = np.random.default_rng(0)
    second = generator.random(1000)
    table = np.stack([1 - second, second], axis=1)
    many, few = _compute(table, _name(1000)), _compute(table[:100], _name(100))
    assert few.mean > 2 * many.mean
    assert _compute(table, _name(1000, per_patient=10)).mean > 1.3 * many.mean


def test_certainty_has_no_noise_and_no_films_no_answer() -> None:
    assert _compute(np.tile([1.0, 0.0], (50, 1)), _name(50)) == CalibrationNoise(0.0, 0.0)
    nothing = compute_calibration_noise(
        np.zeros((0, 2)), _name(0), draws=10, generator=np.random.default_rng(0)
    )
    assert nothing is None
