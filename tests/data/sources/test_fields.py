from __future__ import annotations

import pytest

from cxresnet.data.sources.fields import read_age, read_sex, read_split, read_view


@pytest.mark.parametrize(
    ("text", "expected"),
    [("58", "58"), ("058Y", "58"), ("58.0", "58"), ("7.9", "7"), ("030M", "2"), ("10W", "0"),
     ("0", "0"), ("120", "120"), ("121", ""), ("414", ""), ("", ""), ("adult", ""), ("-3", "")],
)  # fmt: skip
def test_an_age_is_whole_years_or_unknown(text, expected):
    assert read_age(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("F", "F"), ("male", "M"), (" Female ", "F"), ("x", ""), ("", "")]
)
def test_a_sex_is_one_letter_or_unknown(text, expected):
    assert read_sex(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Training", "train"), ("valid", "val"), ("val2017", "val"), ("TEST", "test"), ("Normal", "")],
)
def test_a_split_has_many_names(text, expected):
    assert read_split(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("pa", "PA"), ("AP ", "AP"), ("AP_Supine", "AP supine"), ("ap supine", "AP supine"),
     ("LATERAL", "lateral"), ("L", "lateral"), (" Oblique ", "Oblique"), ("", "")],
)  # fmt: skip
def test_a_view_is_one_word_however_it_is_written(text, expected):
    assert read_view(text) == expected
