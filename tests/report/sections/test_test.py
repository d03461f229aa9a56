"""The sets of classes and the risk-coverage curve, shown as measured."""

from __future__ import annotations

import dataclasses
import re

import pytest

from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.sections.test import (
    build_abstention_view,
    build_evaluation_view,
    build_probabilities_view,
)


@pytest.mark.slow
def test_the_curve_is_drawn_where_there_are_images(selective: SelectiveResult) -> None:
    view = build_abstention_view(selective)
    assert view.result == selective
    assert view.curve is not None
    assert len(view.expected) == len(selective.classes)
    assert all(low < selective.coverage < high for low, high in view.expected)
    assert "error rate of decided images" in view.curve.svg
    empty = build_abstention_view(selective.model_copy(update={"curve": ()}))
    assert empty.curve is None


def test_without_it_the_section_says_how_to_get_it() -> None:
    section = build_section("abstention", RunArtifacts(name="new"))
    assert section.view is None
    assert "cxresnet evaluate RUN" in section.missing


# The test section shows what was measured.


@pytest.mark.slow
def test_by_hand_the_confusion_matrix_has_row_shares(evaluation: Evaluation) -> None:
    view = build_evaluation_view(evaluation)
    first, _, empty = view.confusion
    assert [cell.share for cell in first.cells] == [0.75, 0.2, 0.05]
    assert [cell.correct for cell in first.cells] == [True, False, False]
    assert [cell.share for cell in empty.cells] == [None, None, None]


def test_without_any_curve_there_is_no_figure(evaluation: Evaluation) -> None:
    classes = tuple(each.model_copy(update={"roc": None}) for each in evaluation.classes)
    view = build_evaluation_view(evaluation.model_copy(update={"classes": classes}))
    assert view.roc is None


@pytest.mark.slow
def test_patients_with_images_of_several_classes_are_counted(evaluation: Evaluation) -> None:
    (result,) = evaluation.by_patient
    view = build_evaluation_view(evaluation)
    assert view.mixed_patients == evaluation.patients - result.patients == 14
    silent = build_evaluation_view(evaluation.model_copy(update={"by_patient": ()}))
    assert silent.mixed_patients == 0


def test_before_the_test_the_section_says_how_to_get_one() -> None:
    assert "cxresnet evaluate RUN" in build_section("test", RunArtifacts(name="new")).missing


# What a probability is worth, as the page shows it.


@pytest.mark.slow
def test_reliability_is_drawn_before_and_after_the_temperature(evaluation: Evaluation) -> None:
    view = build_probabilities_view(evaluation)
    assert view.before is not None
    assert view.after is not None
    assert "before calibration" in view.before.alt_text
    assert len(view.decisions) == len(view.thresholds) == 3


def _without_curves(evaluation: Evaluation) -> Evaluation:
    """Leave out what takes long to draw."""
    empty = evaluation.calibration.bins[:1]
    calibration = evaluation.calibration.model_copy(update={"bins": empty, "bins_before": empty})
    return evaluation.model_copy(
        update={"calibration": calibration, "prevalence_curves": (), "decision_curves": ()}
    )


@pytest.mark.slow
@pytest.mark.parametrize(("images", "hollow"), [(9, True), (10, False)])
def test_a_point_of_few_images_is_hollow(evaluation: Evaluation, images: int, hollow: bool) -> None:
    filled = next(each for each in evaluation.calibration.bins if each.images)
    bins = (dataclasses.replace(filled, images=images),)
    bare = _without_curves(evaluation)
    calibration = bare.calibration.model_copy(update={"bins": bins})
    view = build_probabilities_view(bare.model_copy(update={"calibration": calibration}))
    assert view.after is not None
    looks = re.findall(r'<use [^>]*style="([^"]*stroke: var\(--series-1\)[^"]*)"', view.after.svg)
    assert ["fill-opacity: 0;" in look for look in looks] == [hollow]


def test_without_images_nothing_is_drawn(evaluation: Evaluation) -> None:
    view = build_probabilities_view(_without_curves(evaluation))
    assert (view.before, view.after, view.ppv, view.npv) == (None, None, None, None)


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.99, 0.96, 1.0, "reached"),
        (0.96, 0.90, 0.99, "reached, within chance"),
        (0.93, 0.85, 0.97, "missed, within chance"),
        (0.80, 0.70, 0.90, "missed"),
    ],
)
def test_an_aim_is_reached_or_missed_as_far_as_the_interval_says(
    evaluation: Evaluation, value: float, low: float, high: float, verdict: str
) -> None:
    first = evaluation.class_thresholds[0]
    number = Estimate(value=value, low=low, high=high, n=50, groups=40)
    reached = first.reached.model_copy(update={"sensitivity": number})
    changed = _without_curves(evaluation).model_copy(
        update={"class_thresholds": (first.model_copy(update={"reached": reached}),)}
    )
    assert build_probabilities_view(changed).thresholds[0].verdict == verdict


def test_before_the_test_the_section_says_how_to_get_one_of_probabilities() -> None:
    assert (
        "cxresnet evaluate RUN" in build_section("probabilities", RunArtifacts(name="new")).missing
    )
