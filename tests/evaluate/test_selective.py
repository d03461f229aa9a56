"""Sets of classes, "cannot tell", and what is left of the mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import RunFolderError
from cxresnet.evaluate.selective import (
    SelectiveResult,
    evaluate_selectively,
    read_selective,
    write_selective,
)
from cxresnet.evaluate.topic import estimate
from cxresnet.metrics.classification import build_share
from cxresnet.metrics.conformal import build_prediction_sets
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict import Predictions
from cxresnet.predict.decision import (
    apply_operating_point,
    build_plain_operating_point,
    decide_from_set,
)

Draw = Callable[..., Predictions]


def _evaluate(
    validation: Predictions, test: Predictions, config: EvaluateConfig
) -> SelectiveResult:
    plain = build_plain_operating_point(3)
    return evaluate_selectively(
        apply_operating_point(validation, plain),
        apply_operating_point(test, plain),
        validation_group_ids=validation.group_ids,
        group_ids=test.group_ids,
        config=config,
        name="test",
    )


def test_every_share_is_what_counting_the_sets_gives(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    validation, test = draw_predictions(300, seed=1), draw_predictions(240, seed=2)
    found = _evaluate(validation, test, config)
    sets = build_prediction_sets(test.probabilities, found.thresholds)
    size = sets.sum(axis=1)
    assert found.decided.value == pytest.approx((size == 1).mean())
    assert found.empty.value == pytest.approx((size == 0).mean())
    assert found.several.value == pytest.approx((size > 1).mean())
    answers = [decide_from_set(row, found.class_names) for row in sets]
    truth = [found.class_names[label] for label in test.truth]
    given = [(said, true) for said, true in zip(answers, truth, strict=True) if said in truth]
    assert found.selective_accuracy.n == len(given)
    right = np.mean([said == true for said, true in given])
    assert found.selective_accuracy.value == pytest.approx(right)
    for index, one in enumerate(found.classes):
        own = test.truth == index
        assert one.empirical_coverage.value == pytest.approx(sets[own, index].mean())
        own = validation.truth == index
        assert one.calibration_images == own.sum()
        assert one.calibration_patients == own.sum() / 2
    assert found.curve[-1].coverage == 1.0
    assert found.curve[-1].risk == pytest.approx(1 - found.accuracy.value)


def test_patients_are_drawn_whole_and_within_their_class(
    draw_unkind_predictions: Draw, config: EvaluateConfig
) -> None:
    validation, test = draw_unkind_predictions(seed=1), draw_unkind_predictions(seed=2)
    found = _evaluate(validation, test, config)
    right = test.logits.argmax(axis=1) == test.truth
    everyone = np.ones(len(test), dtype=bool)
    share = build_share("accuracy", part=right, whole=everyone, undefined="")

    def compute(group_ids: tuple[str, ...], strata: np.ndarray | None) -> Estimate:
        options = {"group_ids": group_ids, "strata": strata}
        return estimate([share], config=config, **options)["accuracy"]

    assert found.accuracy == compute(test.group_ids, test.truth)
    assert found.accuracy != compute(test.group_ids, None)
    assert found.accuracy != compute(test.image_ids, test.truth)
    # Ninety patients, two of whom share a copy.
    assert found.accuracy.groups == found.decided.groups == found.aurc.groups == 89
    assert found.accuracy.n == len(test)
    groups = np.array(validation.group_ids)
    for index, one in enumerate(found.classes):
        own = validation.truth == index
        assert (one.calibration_images, one.calibration_patients) == (
            own.sum(),
            len(set(groups[own])),
        )


def test_few_patients_of_many_images_promise_no_more_than_their_number(
    draw_unkind_predictions: Draw, config: EvaluateConfig
) -> None:
    validation = draw_unkind_predictions(200)
    one = _evaluate(validation, validation, config).classes[0]
    assert one.calibration_patients < one.calibration_images / 2
    low, high = one.compute_expected(0.9)
    alone = one.model_copy(update={"calibration_patients": one.calibration_images})
    assert high - low > 1.4 * np.diff(alone.compute_expected(0.9))


def test_the_surest_decision_is_answered_first_also_where_classes_are_weighted(
    draw_unkind_predictions: Draw, config: EvaluateConfig
) -> None:
    """What counts is how probable the class decided for is, not the most probable class."""
    images = draw_unkind_predictions()
    point = build_plain_operating_point(3).model_copy(update={"weights": (0.2, 1.0, 5.0)})
    judged = apply_operating_point(images, point)
    found = evaluate_selectively(
        judged,
        judged,
        validation_group_ids=images.group_ids,
        group_ids=images.group_ids,
        config=config,
        name="test",
    )
    decided = judged.probabilities[np.arange(len(images)), judged.predicted]
    assert found.curve[-1].confidence == pytest.approx(decided.min())
    assert found.curve[-1].confidence < 1 / 3


def test_answers_are_right_more_often_where_the_network_may_stay_silent(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    found = _evaluate(draw_predictions(900, seed=1), draw_predictions(900, seed=2), config)
    assert found.selective_accuracy.low > found.accuracy.value
    assert found.aurc.value < 1 - found.accuracy.value


@pytest.mark.slow
def test_each_class_is_covered_within_three_points_over_repeated_splits(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    covered = []
    for seed in range(40):
        table = draw_predictions(1800, per_patient=1, seed=seed)
        first = np.arange(1800) < 900
        found = _evaluate(table.select(first), table.select(~first), config)
        covered.append([one.empirical_coverage.value for one in found.classes])
    mean = np.mean(covered, axis=0)
    assert np.abs(mean - config.coverage).max() < 0.03


def test_a_class_without_validation_images_is_in_every_set_and_it_is_said(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    validation = draw_predictions(300, seed=1)
    found = _evaluate(validation.select(validation.truth != 2), draw_predictions(), config)
    assert found.classes[2].threshold == 0.0
    assert found.classes[2].empirical_coverage.value == 1.0
    assert any("Too few validation images of covid-19 (0)" in note for note in found.notes)


def test_a_promise_that_was_surely_broken_is_named_and_a_kept_one_is_not(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    """Images of the last class look in the test as no validation image of it did."""
    validation, test = draw_predictions(600, seed=1), draw_predictions(240, seed=3)
    moved = test.logits.copy()
    moved[test.truth == 2, 2] -= 4
    found = _evaluate(validation, replace(test, logits=moved), config)
    (note,) = [note for note in found.notes if "not reached" in note]
    assert note.startswith("Target coverage 0.90 not reached for covid-19: 0.")
    assert "normal" not in note
    assert "n = 80), where a fit on 200 images gives 0.8" in note
    assert len(_evaluate(validation, test, config).notes) == 1


@pytest.mark.slow
def test_the_curve_stays_short(draw_predictions: Draw, config: EvaluateConfig) -> None:
    found = _evaluate(draw_predictions(300), draw_predictions(3000, seed=3), config)
    assert len(found.curve) <= 200
    coverages = [point.coverage for point in found.curve]
    assert coverages == sorted(coverages)


def test_what_is_written_comes_back(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    found = _evaluate(draw_predictions(300), draw_predictions(seed=3), config)
    path = write_selective(tmp_path / "selective.json", found)
    assert read_selective(path) == found


def test_a_damaged_or_missing_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "selective.json"
    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN"):
        read_selective(path)
    path.write_text('{"format": 99}')
    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN"):
        read_selective(path)
