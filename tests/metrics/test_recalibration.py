from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.recalibration import build_recalibration_statistics
from cxresnet.metrics.statistic import compute_value


def _draw(images: int, *, slope: float, shift: float, seed: int = 0) -> ClassifiedImages:
    """Images whose true log-odds are slope · said + shift."""
    generator = np.random.default_rng(seed)
    said = generator.normal(0, 2, size=images)
    shown = generator.random(images) < special.expit(slope * said + shift)
    second = special.expit(said)
    return ClassifiedImages(
        class_names=("a", "b"),
        truth=shown.astype(np.int64),
        predicted=(said > 0).astype(np.int64),
        probabilities=np.stack([1 - second, second], axis=1),
    )


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 0.0), (2.0, -1.0)])
def test_the_line_that_made_the_images_is_found(slope: float, shift: float) -> None:
    found_slope, found_shift = map(
        compute_value, build_recalibration_statistics(_draw(40_000, slope=slope, shift=shift), 1)
    )
    assert found_slope == pytest.approx(slope, rel=0.05)
    # With the slope held at 1 the intercept is near the shift only where the slope is 1.
    if slope == 1:
        assert found_shift == pytest.approx(shift, abs=0.05)
    assert np.sign(round(found_shift, 1)) == np.sign(shift)


def test_the_slope_is_that_of_scikit_learn() -> None:
    evaluated = _draw(300, slope=0.7, shift=0.3)
    said = special.logit(evaluated.probabilities[:, [1]])
    fit = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(said, evaluated.truth)
    slope, _ = build_recalibration_statistics(evaluated, 1)
    assert compute_value(slope) == pytest.approx(fit.coef_[0, 0], abs=1e-6)


def test_the_intercept_makes_the_mean_probability_the_share_of_the_class() -> None:
    # That is what a maximum-likelihood intercept with a fixed slope does.
    evaluated = _draw(300, slope=1, shift=0.8)
    _, intercept = build_recalibration_statistics(evaluated, 1)
    shifted = special.expit(special.logit(evaluated.probabilities[:, 1]) + compute_value(intercept))
    assert shifted.mean() == pytest.approx(evaluated.truth.mean(), abs=1e-9)


def test_one_step_is_near_the_full_fit_to_images_drawn_again() -> None:
    evaluated = _draw(400, slope=0.7, shift=0.3)
    times = np.random.default_rng(1).multinomial(400, [1 / 400] * 400)
    repeated = ClassifiedImages(
        class_names=evaluated.class_names,
        truth=np.repeat(evaluated.truth, times),
        predicted=np.repeat(evaluated.predicted, times),
        probabilities=np.repeat(evaluated.probabilities, times, axis=0),
    )
    steps = build_recalibration_statistics(evaluated, 1)
    fits = build_recalibration_statistics(repeated, 1)
    for step, fit in zip(steps, fits, strict=True):
        one = step.compute(times[None, :].astype(np.float64))[0]
        assert one == pytest.approx(compute_value(fit), abs=0.02)


@pytest.mark.parametrize("truth", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
def test_a_perfect_separation_has_no_line_and_says_why(truth: list[int]) -> None:
    second = np.array([0.1, 0.2, 0.8, 0.9])
    evaluated = ClassifiedImages(
        class_names=("a", "b"),
        truth=np.array(truth),
        predicted=np.array([0, 0, 1, 1]),
        probabilities=np.stack([1 - second, second], axis=1),
    )
    for statistic in build_recalibration_statistics(evaluated, 1):
        assert compute_value(statistic) is None
        assert statistic.undefined.endswith(("without a mistake.", "or every image does."))
