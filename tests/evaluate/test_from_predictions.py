from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.finding import Finding
from cxresnet.core.seeding import build_generator
from cxresnet.evaluate import red_flags
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.red_flags import RedFlagInputs
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.topic import Background
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import build_headline_statistics
from cxresnet.predict import Predictions
from cxresnet.predict.decision import (
    OperatingPoint,
    apply_operating_point,
    build_plain_operating_point,
)
from cxresnet.shortcuts.baseline import BASELINES, BaselinePredictions

Draw = Callable[..., Predictions]


def _answer(predictions: Predictions, name: str, *, skill: float) -> BaselinePredictions:
    rule = next(rule for rule in BASELINES if rule.name == name)
    noise = np.random.default_rng(1).random((len(predictions), 3))
    table = noise + skill * np.eye(3)[predictions.truth]
    return BaselinePredictions(rule, table / table.sum(axis=1, keepdims=True))


@pytest.mark.slow
def test_the_numbers_are_those_of_the_table(draw_predictions: Draw, config: EvaluateConfig) -> None:
    predictions = draw_predictions(120)
    found = evaluate_predictions(predictions, config=config)
    predicted = predictions.logits.argmax(axis=1)
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (predictions.truth, predicted), 1)
    assert np.array(found.confusion).tolist() == confusion.tolist()
    assert found.headline.accuracy.value == pytest.approx(np.trace(confusion) / 120)
    assert (found.images, found.patients) == (120, 60)
    for index, result in enumerate(found.classes):
        assert result.sensitivity.value == pytest.approx(
            confusion[index, index] / confusion[index].sum()
        )
        assert result.images == 40
        assert result.patients == result.sensitivity.groups == 20
    assert sum(item.images for item in found.counts) == 120
    assert sum(item.images for item in found.calibration.bins) == 120


@pytest.mark.slow
def test_every_number_has_its_n_and_an_interval_around_it(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    found = evaluate_predictions(draw_predictions(120), config=config)
    estimates = [*vars(found.headline).values(), found.calibration.brier]
    estimates += [result.auroc for result in found.classes]
    estimates += [result.recall for result in found.by_patient]
    for estimate in estimates:
        assert estimate.n > 0
        assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.slow
def test_images_without_a_class_are_left_out_aloud(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(120)
    unknown = np.arange(120) < 30
    answer = _answer(predictions, "thumbnail", skill=0.5)
    background = Background(baselines=(answer,))
    found = evaluate_predictions(
        replace(predictions, truth=np.where(unknown, -1, predictions.truth)),
        config=config,
        background=background,
    )
    assert found.images == 90
    right = answer.probabilities.argmax(axis=1) == predictions.truth
    assert found.baselines[0].headline.accuracy.n == 90
    assert found.baselines[0].headline.accuracy.value == pytest.approx(right[30:].mean())
    assert any(text.startswith("30 images show none of") for text in found.warnings)


def test_an_absent_class_is_none_with_a_reason_never_zero(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(120)
    found = evaluate_predictions(predictions.select(predictions.truth == 2), config=config)
    normal, _, covid = found.classes
    assert normal.sensitivity.value is None
    assert normal.sensitivity.reason == "No image shows normal."
    assert normal.roc is None
    assert covid.specificity.value is None
    assert covid.sensitivity.value is not None
    assert found.headline.macro_auroc.value is None
    assert found.headline.accuracy.value == covid.sensitivity.value
    assert found.by_patient[0].recall.value is None
    assert found.by_patient[2].recall.n == 20


def test_patients_are_judged_by_the_mean_of_their_images(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    # Two patients of class 1. One has images at .9, .4, .4 (mean .567: found, though two of three
    # images say otherwise), the other .1 and .6 (mean .35: missed). A third has images of two
    # classes and is left out.
    second = np.array([0.9, 0.4, 0.4, 0.1, 0.6, 0.9, 0.9])
    predictions = Predictions(
        image_ids=tuple("abcdefg"),
        patient_ids=tuple("pppqqrr"),
        group_ids=tuple("pppqqrr"),
        sources=("here",) * 7,
        truth=np.array([1, 1, 1, 1, 1, 0, 1]),
        logits=np.log(np.stack([1 - second, second], axis=1)).astype(np.float32),
        class_names=("a", "b"),
    )
    none, recall = evaluate_predictions(predictions, config=config).by_patient
    assert (recall.class_name, recall.patients, recall.recall.value) == ("b", 2, 0.5)
    assert none.recall.value is None
    assert none.recall.reason == "No patient has a on every image."


@pytest.mark.slow
def test_the_lift_is_the_difference_to_the_same_images(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(240, skill=3)
    weak, strong = (
        _answer(predictions, "majority", skill=0.1),
        _answer(predictions, "thumbnail", skill=0.6),
    )
    background = Background(baselines=(weak, strong))
    found = evaluate_predictions(predictions, config=config, background=background)
    assert found.best_baseline == "thumbnail"
    for baseline in found.baselines:
        ours = found.headline.balanced_accuracy.value
        theirs = baseline.headline.balanced_accuracy.value
        assert baseline.balanced_accuracy_difference.value == pytest.approx(ours - theirs)
        assert (
            baseline.balanced_accuracy_difference.low
            < baseline.balanced_accuracy_difference.value
            < baseline.balanced_accuracy_difference.high
        )
        assert baseline.macro_auroc_difference.value is not None


@pytest.mark.slow
def test_a_baseline_that_could_not_be_tried_says_why(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    answer = BaselinePredictions(BASELINES[1], None, "All training images come from one source.")
    found = evaluate_predictions(
        draw_predictions(60), config=config, background=Background(baselines=(answer,))
    )
    (baseline,) = found.baselines
    assert (baseline.headline, baseline.balanced_accuracy_difference) == (None, None)
    assert baseline.reason == "All training images come from one source."
    assert found.best_baseline is None


@pytest.mark.slow
def test_the_same_seed_gives_the_same_evaluation(draw_predictions: Draw) -> None:
    config = EvaluateConfig(bootstrap_resamples=100, seed=3)
    once = evaluate_predictions(draw_predictions(60), config=config)
    assert evaluate_predictions(draw_predictions(60), config=config) == once


def _warn(predictions: Predictions, config: EvaluateConfig, **background: object) -> str:
    found: Evaluation = evaluate_predictions(
        predictions, config=config, background=Background(**background)
    )
    return " ".join(found.warnings)


@pytest.mark.slow
def test_a_class_that_equals_its_source_is_said_aloud(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(180)
    assert "cannot separate the disease" not in _warn(predictions, config)
    apart = tuple("clinic" if label == 2 else "north" for label in predictions.truth)
    text = _warn(replace(predictions, sources=apart), config)
    assert "Every image of covid-19 comes from a source that holds no other class" in text
    each = tuple(f"site {label}" for label in predictions.truth)
    text = _warn(replace(predictions, sources=each), config)
    assert "Every image of normal and of pneumonia and of covid-19" in text
    one = ("north",) * len(predictions)
    assert "cannot separate the disease" not in _warn(replace(predictions, sources=one), config)


@pytest.mark.slow
def test_few_patients_are_said_aloud(draw_predictions: Draw, config: EvaluateConfig) -> None:
    # 120 images are 20 patients a class, 114 are 19.
    assert "Fewer than" not in _warn(draw_predictions(120), config)
    assert "Fewer than 20 patients of normal (19)" in _warn(draw_predictions(114), config)


@pytest.mark.slow
def test_classes_that_no_image_shows_are_named_as_missing_and_not_as_few(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(180)
    text = _warn(predictions.select(predictions.truth == 2), config)
    assert "No image here shows normal or pneumonia" in text
    assert "(0)" not in text
    assert "No image here" not in _warn(predictions, config)


@pytest.mark.slow
def test_unknown_patients_and_repeated_openings_are_said_aloud(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(120)
    unknown = ("",) * 30 + predictions.patient_ids[30:]
    assert "25% of the images have no patient ID" in _warn(
        replace(predictions, patient_ids=unknown), config
    )
    assert "opened" not in _warn(predictions, config, accesses=1)
    assert "opened 2 times for scores" in _warn(predictions, config, accesses=2)


@pytest.mark.slow
def test_a_baseline_that_is_as_good_sounds_an_alarm(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_predictions(120, skill=1.0)

    def sound(answer: BaselinePredictions) -> list[str]:
        background = Background(baselines=(answer,))
        found = evaluate_predictions(predictions, config=config, background=background)
        return [red_flag.rule for red_flag in found.red_flags]

    better, bad = (_answer(predictions, "thumbnail", skill=skill) for skill in (2.0, 0.0))
    assert sound(better) == ["baseline_as_good"]
    assert sound(bad) == []
    # The very same answers: the difference is 0 in every resample, so that it has no interval.
    assert sound(BaselinePredictions(BASELINES[0], predictions.probabilities)) == [
        "baseline_as_good"
    ]


_POINT = OperatingPoint(
    rule="balanced",
    temperature=2.0,
    weights=(0.5, 1.0, 1.5),
    chosen_on="validation images",
    scores={},
)


@pytest.mark.slow
def test_every_interval_draws_whole_patients_within_their_class(
    draw_unkind_predictions: Draw,
) -> None:
    predictions = draw_unkind_predictions()
    config = EvaluateConfig(bootstrap_resamples=100, seed=5, confidence_level=0.8)
    found = evaluate_predictions(predictions, config=config)
    expected = compute_estimates(
        build_headline_statistics(
            apply_operating_point(predictions, build_plain_operating_point(3))
        ),
        groups=predictions.group_ids,
        strata=predictions.truth,
        resamples=100,
        confidence=0.8,
        generator=build_generator(5, "bootstrap"),
    )
    assert vars(found.headline) == expected
    groups = np.array(predictions.group_ids)
    assert found.patients == len(set(groups))
    for index, result in enumerate(found.classes):
        own = predictions.truth == index
        assert (result.images, result.patients) == (own.sum(), len(set(groups[own])))
        roc = result.roc
        area = np.trapezoid(roc.true_positive_rate, roc.false_positive_rate)
        assert area == pytest.approx(result.auroc.value)
    by_source = {one.value: one for one in found.slices if one.factor == "source"}
    assert set(by_source) == {"north", "south"}
    for source, one in by_source.items():
        own = np.array(predictions.sources) == source
        assert (one.images, one.patients) == (own.sum(), len(set(groups[own])))
        assert one.headline.accuracy.groups == one.patients
    difference = found.worst_slice.score.generalisation_gap
    assert difference.groups < difference.n / 2


@pytest.mark.slow
def test_the_operating_point_decides_and_calibrates_images_and_patients(
    draw_unkind_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_unkind_predictions()
    found = evaluate_predictions(predictions, config=config, operating_point=_POINT)
    evaluated = apply_operating_point(predictions, _POINT)
    right = evaluated.predicted == evaluated.truth
    assert right.mean() != (predictions.logits.argmax(axis=1) == evaluated.truth).mean()
    assert found.headline.accuracy.value == pytest.approx(right.mean())

    truth = np.eye(3)[predictions.truth]
    for brier, shown in (
        (found.calibration.brier, evaluated.probabilities),
        (found.calibration.brier_before, predictions.probabilities),
    ):
        assert brier.value == pytest.approx(((shown - truth) ** 2).sum(axis=1).mean())

    groups, weights = np.array(predictions.group_ids), np.array(_POINT.weights)
    calls: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for group in set(groups):
        own = groups == group
        labels = set(evaluated.truth[own].tolist())
        if len(labels) == 1:
            called = int((evaluated.probabilities[own].mean(axis=0) * weights).argmax())
            calls[min(labels)].append(called == min(labels))
    for index, result in enumerate(found.by_patient):
        assert result.patients == len(calls[index])
        assert result.recall.value == pytest.approx(np.mean(calls[index]))


@pytest.mark.slow
def test_facts_stay_with_their_images_where_some_are_left_out(
    draw_unkind_predictions: Draw, config: EvaluateConfig
) -> None:
    predictions = draw_unkind_predictions()
    unknown = np.arange(len(predictions)) % 3 == 0
    view = np.where(predictions.truth == 0, "AP", "PA")
    facts = pd.DataFrame({"source": predictions.sources, "view": view}).assign(
        sex="", age_years="", file_width=0, file_height=0
    )
    found = evaluate_predictions(
        replace(predictions, truth=np.where(unknown, -1, predictions.truth)),
        config=config,
        background=Background(facts=facts),
    )
    counts = {one.value: one.images for one in found.slices if one.factor == "view"}
    assert counts == {name: int((view[~unknown] == name).sum()) for name in ("AP", "PA")}


@pytest.mark.slow
def test_all_that_is_known_beside_the_table_is_looked_at_for_alarms(
    draw_predictions: Draw, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RedFlagInputs] = []
    monkeypatch.setattr(red_flags, "find_red_flags", lambda inputs: (seen.append(inputs), ())[1])
    table = draw_predictions(60)
    headline = evaluate_predictions(table, config=config).headline
    number = headline.accuracy
    background = Background(
        baselines=(_answer(table, "file", skill=0.5),),
        validation=headline,
        findings=(
            Finding(
                question="source_confounding", title="?", verdict="amber", sentence="It knows."
            ),
        ),
        leaked_images=3,
        source_generalisation_gap=GeneralisationGap(
            name="accuracy", internal=number, external=number, generalisation_gap=number
        ),
    )
    found = evaluate_predictions(table, config=config, background=background)
    assert (seen[1].headline, seen[1].classes) == (found.headline, found.classes)
    assert seen[1].baselines == found.baselines
    for name in ("validation", "findings", "leaked_images", "source_generalisation_gap"):
        assert getattr(seen[1], name) == getattr(background, name)


def test_an_empty_table_gives_an_evaluation_without_numbers(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    nothing = draw_predictions(6).select(np.zeros(6, dtype=bool))
    found = evaluate_predictions(nothing, config=config)
    assert found.images == 0
    assert found.headline.accuracy.value is None
    assert found.headline.accuracy.reason == "There is no image."
