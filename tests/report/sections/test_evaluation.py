"""The test section shows what was measured."""

from __future__ import annotations

from cxresnet.evaluate.record import Evaluation
from cxresnet.report.sections.evaluation import EvaluationView, build_evaluation_section


def test_by_hand_the_confusion_matrix_has_row_shares(evaluation: Evaluation) -> None:
    view = build_evaluation_section(evaluation).view
    assert isinstance(view, EvaluationView)
    first, _, empty = view.confusion
    assert [cell.share for cell in first.cells] == [0.75, 0.2, 0.05]
    assert [cell.right for cell in first.cells] == [True, False, False]
    assert [cell.share for cell in empty.cells] == [None, None, None]


def test_without_any_curve_there_is_no_figure(evaluation: Evaluation) -> None:
    classes = tuple(each.model_copy(update={"roc": None}) for each in evaluation.classes)
    view = build_evaluation_section(evaluation.model_copy(update={"classes": classes})).view
    assert isinstance(view, EvaluationView)
    assert view.roc is None


def test_patients_with_films_of_several_classes_are_counted(evaluation: Evaluation) -> None:
    (result,) = evaluation.by_patient
    view = build_evaluation_section(evaluation).view
    assert isinstance(view, EvaluationView)
    assert view.mixed_patients == evaluation.patients - result.patients == 14
    silent = build_evaluation_section(evaluation.model_copy(update={"by_patient": ()})).view
    assert isinstance(silent, EvaluationView)
    assert silent.mixed_patients == 0


def test_before_the_test_the_section_says_how_to_get_one() -> None:
    assert "cxresnet evaluate RUN" in build_evaluation_section(None).missing
