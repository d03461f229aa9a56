"""What must be known before the numbers is said, and nothing is cried for no reason."""

from __future__ import annotations

import pandas as pd

from cxresnet.core.finding import Finding
from cxresnet.evaluate.record import Evaluation
from cxresnet.report.notices import find_film_notices, find_test_notices, sort_notices
from cxresnet.report.section import Notice


def _build_films(pairs: list[tuple[str, str]], *, patient_id: str = "p") -> pd.DataFrame:
    frame = pd.DataFrame(pairs, columns=["source", "class_name"])
    return frame.assign(patient_id=patient_id)


MIXED = [("a", "normal"), ("a", "covid-19"), ("b", "normal"), ("b", "covid-19")]


def test_films_of_which_every_source_has_every_class_raise_no_notice() -> None:
    assert find_film_notices(_build_films(MIXED)) == ()


def test_one_source_with_all_classes_cannot_give_a_class_away() -> None:
    assert find_film_notices(_build_films([("a", "normal"), ("a", "covid-19")])) == ()


def test_a_class_alone_in_its_source_is_red_and_named() -> None:
    films = _build_films([("nih", "normal"), ("nih", "pneumonia"), ("cohen", "covid-19")])
    (notice,) = find_film_notices(films)
    assert notice.verdict == "red"
    assert notice.title == "Class covid-19 equals its source"
    assert "cohen" in notice.sentence


def test_a_class_that_one_of_its_two_sources_shares_is_not_red() -> None:
    films = _build_films([("nih", "normal"), ("nih", "covid-19"), ("cohen", "covid-19")])
    assert find_film_notices(films) == ()


def test_phantoms_are_said_to_be_drawings() -> None:
    films = _build_films([(f"phantom-{source}", name) for source, name in MIXED])
    (notice,) = find_film_notices(films)
    assert notice.title == "Drawings, not patients"
    assert "All films are phantoms" in notice.sentence


def test_unknown_patients_are_counted() -> None:
    (notice,) = find_film_notices(_build_films(MIXED, patient_id=""))
    assert "100.0" in notice.sentence
    assert notice.verdict == "amber"


def test_the_sentences_of_the_test_stand_in_one_notice(evaluation: Evaluation) -> None:
    many = evaluation.model_copy(update={"warnings": ("One.", "Two.")})
    (notice,) = find_test_notices(many)
    assert (notice.verdict, notice.sentence) == ("amber", "One. Two.")
    assert find_test_notices(evaluation.model_copy(update={"warnings": ()})) == ()


def test_where_the_source_oracle_was_asked_its_answer_stands_alone() -> None:
    films = _build_films([("nih", "normal"), ("cohen", "covid-19")])
    finding = Finding(question="source_oracle", title="T", verdict="red", sentence="S")
    assert find_film_notices(films, findings=(finding,)) == (Notice("red", "T", "S"),)
    green = finding.model_copy(update={"verdict": "green"})
    assert find_film_notices(films, findings=(green,)) == ()


def test_the_worst_stands_first_and_nothing_twice() -> None:
    amber, red = Notice("amber", "a", "s"), Notice("red", "r", "s")
    assert sort_notices([amber, red, amber]) == (red, amber)
