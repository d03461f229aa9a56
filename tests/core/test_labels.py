from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxresnet.core.labels import fold_label, is_negated, is_placeholder


@pytest.mark.parametrize(
    "labels",
    [
        ("Viral Pneumonia", "viral_pneumonia", "VIRAL-PNEUMONIA", "(viral) - pneumonia"),
        ("COVID-19", "covid19", "Covid\u201319", "COVID_19"),
        ("COVID-", "covid -", "COVID\u2212"),
        ("Neumon\u00eda", "NEUMONI\u0301A"),
        ("1", "1.0", "01", "+1", "1,0", "\uff11", "\u0661"),
    ],
)  # fmt: skip
def test_spellings_of_one_label_are_one(labels: tuple[str, ...]) -> None:
    assert len({fold_label(label) for label in labels}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("COVID+", "COVID-"), ("COVID", "COVID-"), ("COVID", "COVID+"), ("正常", "肺炎"),
        ("1.0", "-1.0"), ("1.0", "10"), ("(1)", "1"), ("1,000", "1"), ("1-2", "12"), ("1.2", "12"),
        ("grade 1.5", "grade 15"), ("pneumonia", "pneumonia?"), ("<50", ">50"), ("A/B", "AB"),
        ("--1", "-1"), ("10", "1"), ("100", "10"), ("\u0441ovid", "covid"),
    ],
)  # fmt: skip
def test_labels_that_differ_in_meaning_stay_apart(one: str, other: str) -> None:
    assert fold_label(one) != fold_label(other)


@pytest.mark.slow
@given(st.text(alphabet="0123456789", min_size=1, max_size=40))
def test_a_number_of_any_length_keeps_its_sign_and_size(digits: str) -> None:
    value = int(digits)
    assert fold_label(digits) == str(value)
    assert fold_label(f"-{digits}") == (f"-{value}" if value else "0")
    assert fold_label(f"{digits}.50") == f"{value}.5"


@pytest.mark.parametrize(
    "label", ["Normal", "Covid-19", "Nomal", "norm case", "Viral Pneumonia", "TB"]
)
def test_what_only_names_something_is_not_negated(label: str) -> None:
    assert not is_negated(label)


@pytest.mark.parametrize(
    "cell",
    [
        "", " ", "unknown", "Unknown", "N/A", "n.a.", "NaN", "-", "--", "none", "Anonymous",
        "anonymised", "XXXX", "xxx-xx", "0", "0000", "0.0", "?", "***", "not available", "-1",
        "desconocido", "Anonymous^Patient", "PatientID", "no", "TEST", "xx",
    ],
)  # fmt: skip
def test_a_placeholder_is_told(cell: str) -> None:
    assert is_placeholder(cell)


@pytest.mark.parametrize(
    "cell", ["1", "10", "p0", "X1", "Max", "patient 0", "A", "-10", "Anna", "0001", "病人"]
)
def test_an_id_is_no_placeholder(cell: str) -> None:
    assert not is_placeholder(cell)


def test_what_the_user_says_is_a_placeholder_in_any_spelling() -> None:
    assert is_placeholder("Temp 1", ["TEMP_1"])
    assert not is_placeholder("temp2", ["TEMP_1"])
