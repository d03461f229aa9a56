from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
    build_share,
    compute_confusion,
)
from cxresnet.metrics.statistic import compute_value


def _evaluate(
    truth: list[int], probabilities: list[list[float]], names: str = "ab"
) -> ClassifiedImages:
    table = np.array(probabilities, dtype=np.float64).reshape(len(truth), len(names))
    return ClassifiedImages(
        class_names=tuple(names),
        truth=np.array(truth, dtype=np.int64),
        predicted=table.argmax(axis=1) if len(truth) else np.zeros(0, dtype=np.int64),
        probabilities=table,
    )


def _random_images(images: int, classes: int, seed: int) -> ClassifiedImages:
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=images)
    scores = generator.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    # Rounded, so that there are ties.
    return _evaluate(truth.tolist(), np.round(probabilities, 1).tolist(), "abc"[:classes])


def _compute_class(evaluated: ClassifiedImages, index: int) -> dict[str, float | None]:
    statistics = build_class_statistics(evaluated, index)
    return {name: compute_value(item) for name, item in zip(CLASS_SCORES, statistics, strict=True)}


def _compute_headline(evaluated: ClassifiedImages) -> dict[str, float | None]:
    return {item.name: compute_value(item) for item in build_headline_statistics(evaluated)}


def test_the_scores_of_a_two_by_two_table_are_those_worked_out_by_hand() -> None:
    # Class b: 3 images, found with .9 and .6, missed with .4. Class a: 2 images, one called b at
    # .7.
    #                called a   called b
    #   shows a          1          1        specificity of b = 1/2
    #   shows b          1          2        sensitivity of b = 2/3
    #                npv = 1/2  ppv = 2/3    f1 = 2·2 / (3 + 3) = 2/3
    # Pairs (b, a): .9 beats .7 and .2; .6 beats .2; .4 beats .2: 4 of 6 → AUROC 2/3.
    # From the top: .9 b (1/1), .7 a, .6 b (2/3), .4 b (3/4) → mean over b's = 29/36.
    evaluated = _evaluate(
        [1, 1, 1, 0, 0], [[0.1, 0.9], [0.4, 0.6], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2]]
    )
    assert _compute_class(evaluated, 1) == pytest.approx(
        {
            "sensitivity": 2 / 3,
            "specificity": 1 / 2,
            "ppv": 2 / 3,
            "npv": 1 / 2,
            "f1": 2 / 3,
            "auroc": 2 / 3,
            "average_precision": 29 / 36,
        }
    )
    # Sensitivity of a is 1/2, its f1 is 2·1 / (2 + 2) = 1/2.
    assert _compute_headline(evaluated) == pytest.approx(
        {
            "accuracy": 3 / 5,
            "balanced_accuracy": (1 / 2 + 2 / 3) / 2,
            "macro_f1": (1 / 2 + 2 / 3) / 2,
            "macro_auroc": 2 / 3,
        }
    )


def test_the_confusion_matrix_has_the_truth_in_rows() -> None:
    confusion = compute_confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), class_count=3)
    assert confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert compute_confusion(np.array([0]), np.array([0]), class_count=2).tolist() == [
        [1, 0],
        [0, 0],
    ]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_scikit_learn(classes: int, seed: int) -> None:
    evaluated = _random_images(120, classes, seed)
    for index in range(classes):
        shown, called = evaluated.truth == index, evaluated.predicted == index
        scores = evaluated.probabilities[:, index]
        expected = {
            "sensitivity": sklearn_metrics.recall_score(shown, called),
            "specificity": sklearn_metrics.recall_score(~shown, ~called),
            "ppv": sklearn_metrics.precision_score(shown, called),
            "npv": sklearn_metrics.precision_score(~shown, ~called),
            "f1": sklearn_metrics.f1_score(shown, called),
            "auroc": sklearn_metrics.roc_auc_score(shown, scores),
            "average_precision": sklearn_metrics.average_precision_score(shown, scores),
        }
        assert _compute_class(evaluated, index) == pytest.approx(expected, abs=1e-9, rel=0)
    headline = _compute_headline(evaluated)
    truth, predicted = evaluated.truth, evaluated.predicted
    assert headline["accuracy"] == pytest.approx(
        sklearn_metrics.accuracy_score(truth, predicted), abs=1e-9, rel=0
    )
    assert headline["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(truth, predicted), abs=1e-9, rel=0
    )
    assert headline["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(truth, predicted, average="macro"), abs=1e-9, rel=0
    )


def test_weights_do_what_repeating_the_images_does() -> None:
    evaluated = _random_images(40, 3, seed=9)
    times = np.random.default_rng(1).integers(0, 4, size=40)
    repeated = ClassifiedImages(
        class_names=evaluated.class_names,
        truth=np.repeat(evaluated.truth, times),
        predicted=np.repeat(evaluated.predicted, times),
        probabilities=np.repeat(evaluated.probabilities, times, axis=0),
    )
    weights = times[None, :].astype(np.float64)
    for build in (build_headline_statistics, lambda images: build_class_statistics(images, 2)):
        for weighted, plain in zip(build(evaluated), build(repeated), strict=True):
            assert weighted.compute(weights)[0] == pytest.approx(compute_value(plain))


def test_an_absent_class_leaves_its_scores_undefined_and_says_why() -> None:
    evaluated = _evaluate([0, 0], [[0.9, 0.1], [0.2, 0.8]])
    absent = _compute_class(evaluated, 1)
    assert absent["sensitivity"] is None
    assert absent["f1"] is None
    assert absent["auroc"] is None
    assert absent["average_precision"] is None
    assert absent["specificity"] == 0.5
    assert absent["ppv"] == 0.0
    sensitivity, specificity = build_class_statistics(evaluated, 1)[:2]
    assert sensitivity.undefined == "No image shows b."
    assert specificity.undefined == "No image shows anything but b."
    headline = {item.name: item for item in build_headline_statistics(evaluated)}
    assert compute_value(headline["balanced_accuracy"]) is None
    assert headline["balanced_accuracy"].undefined == "No image shows b."
    assert compute_value(headline["accuracy"]) == 0.5


def test_images_are_selected_wherever_they_stand() -> None:
    evaluated = _random_images(9, 3, seed=0)
    chosen = [1, 4, 5, 8]
    found = evaluated.select(np.isin(np.arange(9), chosen))
    assert found.class_names == evaluated.class_names
    assert found.truth.tolist() == [int(evaluated.truth[row]) for row in chosen]
    assert found.predicted.tolist() == [int(evaluated.predicted[row]) for row in chosen]
    assert found.probabilities.tolist() == [evaluated.probabilities[row].tolist() for row in chosen]


def test_the_scores_of_an_uneven_table_of_three_classes_by_hand(uneven: Any) -> None:
    # Class b of the table in `UnevenTable`: 5 images show it, 6 are called it, 3 are both.
    scores = _compute_class(uneven.evaluated, 1)
    assert [scores[name] for name in CLASS_SCORES[:5]] == pytest.approx(
        [3 / 5, 12 / 15, 3 / 6, 12 / 14, 2 * 3 / (5 + 6)]
    )
    headline = _compute_headline(uneven.evaluated)
    assert headline["accuracy"] == pytest.approx(13 / 20)
    assert headline["balanced_accuracy"] == pytest.approx((8 / 12 + 3 / 5 + 2 / 3) / 3)
    assert headline["macro_f1"] == pytest.approx((16 / 22 + 6 / 11 + 4 / 7) / 3)


def test_each_score_rests_on_its_own_images(uneven: Any) -> None:
    evaluated = uneven.evaluated
    shown, called = evaluated.truth == 1, evaluated.predicted == 1
    statistics = dict(zip(CLASS_SCORES, build_class_statistics(evaluated, 1), strict=True))
    expected = {
        "sensitivity": [shown],
        "specificity": [~shown],
        "ppv": [called],
        "npv": [~called],
        "f1": [shown | called],
        "auroc": [shown, ~shown],
        "average_precision": [shown, ~shown],
    }
    for name, parts in expected.items():
        assert np.array_equal(statistics[name].parts, parts), name
    assert [name for name in CLASS_SCORES if statistics[name].is_share_of_images] == [
        "sensitivity",
        "specificity",
        "ppv",
        "npv",
    ]


def test_a_mean_rests_on_the_images_of_every_class(uneven: Any) -> None:
    headline = {item.name: item for item in build_headline_statistics(uneven.evaluated)}
    assert [name for name, one in headline.items() if one.is_share_of_images] == ["accuracy"]
    for name, score in (("balanced_accuracy", 0), ("macro_f1", 4), ("macro_auroc", 5)):
        parts = [
            part
            for index in range(3)
            for part in build_class_statistics(uneven.evaluated, index)[score].parts
        ]
        assert np.array_equal(headline[name].parts, parts), name


def test_a_resample_without_images_of_a_class_has_no_f1_of_it_though_some_are_called_it() -> None:
    evaluated = _evaluate([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    f1 = build_class_statistics(evaluated, 1)[CLASS_SCORES.index("f1")]
    # Without the third image none shows b; with it, 2 · 1 / (1 + 2).
    found = f1.compute(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(2 / 3)
    macro = build_headline_statistics(evaluated)[HEADLINE_SCORES.index("macro_f1")]
    assert np.isnan(macro.compute(np.array([[1.0, 1.0, 0.0]]))[0])


def test_an_f1_of_an_absent_class_rests_on_nothing_though_images_are_called_it() -> None:
    evaluated = _evaluate([0, 0], [[0.9, 0.1], [0.2, 0.8]])
    f1 = build_class_statistics(evaluated, 1)[CLASS_SCORES.index("f1")]
    assert not f1.support.any()
    assert f1.undefined == "No image shows b."


def test_a_class_that_is_never_called_has_no_predictive_value_but_an_f1_of_zero() -> None:
    scores = _compute_class(_evaluate([0, 1], [[0.9, 0.1], [0.8, 0.2]]), 1)
    assert scores["ppv"] is None
    assert scores["f1"] == 0.0
    assert scores["sensitivity"] == 0.0


def test_the_means_can_run_over_the_classes_that_are_there() -> None:
    evaluated = _evaluate([0, 1, 1], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]], "abc")
    present = {
        item.name: compute_value(item)
        for item in build_headline_statistics(evaluated, classes=[0, 1])
    }
    assert present["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert _compute_headline(evaluated)["balanced_accuracy"] is None


def test_no_images_at_all_give_no_numbers() -> None:
    nothing = _evaluate([], [])
    assert set(_compute_headline(nothing).values()) == {None}
    assert tuple(_compute_headline(nothing)) == HEADLINE_SCORES


def test_a_share_rests_on_its_whole_and_nothing_else() -> None:
    whole = np.array([True, True, False])
    share = build_share("x", part=np.array([True, False, True]), whole=whole, undefined="")
    assert compute_value(share) == 0.5
    assert share.support.tolist() == whole.tolist()


def test_tables_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="expected probabilities of shape"):
        ClassifiedImages(
            class_names=("a", "b"),
            truth=np.zeros(3, dtype=np.int64),
            predicted=np.zeros(3, dtype=np.int64),
            probabilities=np.zeros((2, 2)),
        )


_EVALUATED = st.builds(
    _random_images, images=st.integers(1, 40), classes=st.integers(2, 3), seed=st.integers(0, 10**6)
)


def _reorder(evaluated: ClassifiedImages, rows: list[int]) -> ClassifiedImages:
    return ClassifiedImages(
        class_names=evaluated.class_names,
        truth=evaluated.truth[rows],
        predicted=evaluated.predicted[rows],
        probabilities=evaluated.probabilities[rows],
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(evaluated=_EVALUATED, data=st.data())
def test_the_order_of_the_images_does_not_matter(
    evaluated: ClassifiedImages, data: st.DataObject
) -> None:
    rows = data.draw(st.permutations(range(len(evaluated.truth))))
    reordered = _compute_headline(_reorder(evaluated, rows))
    assert reordered == pytest.approx(_compute_headline(evaluated), nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(evaluated=_EVALUATED)
def test_scores_are_shares_and_follow_from_the_confusion_matrix(
    evaluated: ClassifiedImages,
) -> None:
    count = len(evaluated.class_names)
    confusion = compute_confusion(evaluated.truth, evaluated.predicted, class_count=count)
    assert confusion.sum() == len(evaluated.truth)
    scores = _compute_headline(evaluated)
    assert scores["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert all(value is None or 0 <= value <= 1 for value in scores.values())
    shown = confusion.sum(axis=1)
    if shown.all():
        expected = float((np.diag(confusion) / shown).mean())
        assert scores["balanced_accuracy"] == pytest.approx(expected)
    else:
        assert scores["balanced_accuracy"] is None


@settings(max_examples=40, deadline=None)
@given(evaluated=_EVALUATED)
def test_images_that_are_all_classified_correctly_score_one(evaluated: ClassifiedImages) -> None:
    perfect = _evaluate(
        evaluated.truth.tolist(),
        np.eye(len(evaluated.class_names))[evaluated.truth].tolist(),
        "".join(evaluated.class_names),
    )
    assert {value for value in _compute_headline(perfect).values() if value is not None} == {1.0}
