from __future__ import annotations

import pytest

from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.data.sources.columns import find_columns, parse_columns, read_film_rows
from cxresnet.data.sources.table_file import read_table

NIH = (
    b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    b"OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
    b"00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
)


def test_the_headings_of_nih_are_known_without_being_told():
    table = read_table(NIH, name="Data_Entry_2017.csv")
    (row,) = read_film_rows(table, find_columns(table))
    assert (row.path, row.label, row.patient_id) == ("00000001_000.png", "Cardiomegaly", "1")
    assert (row.age_years, row.sex, row.view, row.source) == ("58", "M", "PA", "")


def test_what_the_user_says_comes_before_the_guess():
    table = read_table(b"file,label,truth\na.png,x,normal\n", name="t.csv")
    (row,) = read_film_rows(table, find_columns(table, {"class": "Truth", "path": "file"}))
    assert row.label == "normal"


def test_an_empty_heading_says_that_a_column_means_something_else():
    table = read_table(b"file,label,source\na.png,normal,scanner\n", name="t.csv")
    assert "source" not in find_columns(table, {"source": ""})


def test_a_heading_that_is_not_there_is_guessed_at():
    table = read_table(b"file,diagnosis\na.png,normal\n", name="t.csv")
    with pytest.raises(SourceError, match=r"no column 'diagnose'\. Did you mean 'diagnosis'"):
        find_columns(table, {"class": "diagnose"})


def test_an_unknown_role_is_refused():
    table = read_table(b"file\na.png\n", name="t.csv")
    with pytest.raises(ConfigError, match="'colour' is no column we know"):
        find_columns(table, {"colour": "file"})


def test_columns_are_read_from_the_command_line():
    assert parse_columns("path=Image Index, class=x,source=") == {
        "path": "Image Index", "class": "x", "source": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [("path", "not of the form"), ("x=y", "no column we")]
)
def test_columns_that_are_wrong_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_columns(text)
