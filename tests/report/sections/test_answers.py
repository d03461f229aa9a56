"""The sets of classes and the risk-coverage curve, shown as measured."""

from __future__ import annotations

from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.report.sections.answers import AnswersView, build_answers_section


def test_the_curve_is_drawn_where_there_are_films(selective: SelectiveResult) -> None:
    view = build_answers_section(selective).view
    assert isinstance(view, AnswersView)
    assert view.result == selective
    assert view.curve is not None
    assert len(view.expected) == len(selective.classes)
    assert all(low < selective.coverage < high for low, high in view.expected)
    assert "wrong answers" in view.curve.svg
    empty = build_answers_section(selective.model_copy(update={"curve": ()})).view
    assert isinstance(empty, AnswersView)
    assert empty.curve is None


def test_without_it_the_section_says_how_to_get_it() -> None:
    section = build_answers_section(None)
    assert section.view is None
    assert "cxresnet evaluate RUN" in section.missing
