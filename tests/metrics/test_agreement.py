from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from cxresnet.metrics.agreement import build_confusion_statistics, build_kappa
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.statistic import compute_value


def _evaluate(truth: list[int] | np.ndarray, predicted: list[int] | np.ndarray) -> ClassifiedImages:
    return ClassifiedImages(
        class_names=("a", "b", "c"),
        truth=np.array(truth, dtype=np.int64),
        predicted=np.array(predicted, dtype=np.int64),
        probabilities=np.full((len(truth), 3), 1 / 3),
    )


def test_kappa_is_the_one_worked_out_by_hand() -> None:
    # 4 images: a→a, a→b, b→b, b→b. Agreed 3/4; by chance ½·¼ + ½·¾ = ½; (¾ - ½) / ½ = ½.
    assert compute_value(build_kappa(_evaluate([0, 0, 1, 1], [0, 1, 1, 1]))) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_cells_are_those_of_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(3, size=200)
    predicted = np.where(generator.random(200) < 0.6, truth, generator.integers(3, size=200))
    evaluated = _evaluate(truth, predicted)
    expected = cohen_kappa_score(truth, predicted)
    assert compute_value(build_kappa(evaluated)) == pytest.approx(expected, abs=1e-9)
    shares = [compute_value(statistic) for statistic in build_confusion_statistics(evaluated)]
    rates = confusion_matrix(truth, predicted, normalize="true")
    np.testing.assert_allclose(np.reshape(shares, (3, 3)), rates, atol=1e-9)


def test_perfect_agreement_is_one_and_its_opposite_below_zero() -> None:
    assert compute_value(build_kappa(_evaluate([0, 1, 2], [0, 1, 2]))) == pytest.approx(1)
    assert compute_value(build_kappa(_evaluate([0, 1], [1, 0]))) == pytest.approx(-1)


def test_where_there_is_nothing_to_agree_about_kappa_is_not_defined() -> None:
    alone = build_kappa(_evaluate([1, 1], [1, 1]))
    assert compute_value(alone) is None
    assert alone.undefined == "All images are of one class and are predicted as it."
    nothing = build_kappa(_evaluate([], []))
    assert compute_value(nothing) is None
    assert nothing.undefined == "There is no image."


def test_a_class_without_images_has_no_rates() -> None:
    statistics = build_confusion_statistics(_evaluate([0, 1], [0, 2]))
    values = [compute_value(statistic) for statistic in statistics]
    assert values == [1, 0, 0, 0, 0, 1, None, None, None]
    assert statistics[6].undefined == "No image shows c."
