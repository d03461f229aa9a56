"""What must be known before the numbers is said, and nothing is cried for no reason."""

from __future__ import annotations

import pandas as pd

from cxresnet.core.finding import Finding
from cxresnet.evaluate.record import Evaluation
from cxresnet.report.section import (
    ReportWarning,
    find_data_warnings,
    find_test_warnings,
    sort_warnings,
)


def _build_images(pairs: list[tuple[str, str]], *, patient_id: str = "p") -> pd.DataFrame:
    frame = pd.DataFrame(pairs, columns=["source", "class_name"])
    return frame.assign(patient_id=patient_id)


MIXED = [("a", "normal"), ("a", "covid-19"), ("b", "normal"), ("b", "covid-19")]


def test_images_of_which_every_source_has_every_class_raise_no_notice() -> None:
    assert find_data_warnings(_build_images(MIXED)) == ()


def test_one_source_with_all_classes_cannot_give_a_class_away() -> None:
    assert find_data_warnings(_build_images([("a", "normal"), ("a", "covid-19")])) == ()


def test_a_class_alone_in_its_source_is_red_and_named() -> None:
    images = _build_images([("nih", "normal"), ("nih", "pneumonia"), ("cohen", "covid-19")])
    (warning,) = find_data_warnings(images)
    assert warning.verdict == "red"
    assert warning.title == "Class covid-19 has sources of its own"
    assert "cohen" in warning.sentence


def test_a_class_that_one_of_its_two_sources_shares_is_not_red() -> None:
    images = _build_images([("nih", "normal"), ("nih", "covid-19"), ("cohen", "covid-19")])
    assert find_data_warnings(images) == ()


def test_phantoms_are_said_to_be_drawings() -> None:
    images = _build_images([(f"phantom-{source}", name) for source, name in MIXED])
    (warning,) = find_data_warnings(images)
    assert warning.title == "Drawings, not patients"
    assert "All images are phantoms" in warning.sentence


def test_unknown_patients_are_counted() -> None:
    (warning,) = find_data_warnings(_build_images(MIXED, patient_id=""))
    assert "100.0" in warning.sentence
    assert warning.verdict == "amber"


def test_the_sentences_of_the_test_stand_in_one_notice(evaluation: Evaluation) -> None:
    many = evaluation.model_copy(update={"warnings": ("One.", "Two.")})
    (warning,) = find_test_warnings(many)
    assert (warning.verdict, warning.sentence) == ("amber", "One. Two.")
    assert find_test_warnings(evaluation.model_copy(update={"warnings": ()})) == ()


def test_where_the_source_oracle_was_asked_its_answer_stands_alone() -> None:
    images = _build_images([("nih", "normal"), ("cohen", "covid-19")])
    finding = Finding(question="source_confounding", title="T", verdict="red", sentence="S")
    assert find_data_warnings(images, findings=(finding,)) == (ReportWarning("red", "T", "S"),)
    green = finding.model_copy(update={"verdict": "green"})
    assert find_data_warnings(images, findings=(green,)) == ()
    doubtful = finding.model_copy(update={"verdict": "cannot be tested"})
    assert find_data_warnings(images, findings=(doubtful,)) == (ReportWarning("grey", "T", "S"),)


def test_the_worst_stands_first_and_nothing_twice() -> None:
    amber, red = ReportWarning("amber", "a", "s"), ReportWarning("red", "r", "s")
    assert sort_warnings([amber, red, amber]) == (red, amber)
