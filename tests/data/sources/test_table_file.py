from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from cxresnet.core.errors import ConfigError, MissingExtraError, SourceError
from cxresnet.core.labels import fold_label
from cxresnet.data.sources.table_file import (
    COLUMN_ROLES,
    find_columns,
    parse_columns,
    read_age,
    read_image_rows,
    read_patient,
    read_sex,
    read_table,
    read_view,
)

NIH = (
    b"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    b"OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
    b"00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
)


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
    [("pa", "PA"), ("AP ", "AP"), ("AP_Supine", "AP supine"), ("ap supine", "AP supine"),
     ("LATERAL", "lateral"), ("L", "lateral"), (" Oblique ", "Oblique"), ("", "")],
)  # fmt: skip
def test_a_view_is_one_word_however_it_is_written(text, expected):
    assert read_view(text) == expected


def test_the_headings_of_nih_are_known_without_being_told():
    table = read_table(NIH, name="Data_Entry_2017.csv")
    (row,) = read_image_rows(table, find_columns(table))
    assert (row.path, row.label, row.patient_id) == ("00000001_000.png", "Cardiomegaly", "1")
    assert (row.age_years, row.sex, row.view, row.source) == ("58", "M", "PA", "")


def test_what_the_user_says_comes_before_the_guess():
    table = read_table(b"file,label,truth\na.png,x,normal\n", name="t.csv")
    (row,) = read_image_rows(table, find_columns(table, {"class": "Truth", "path": "file"}))
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
    with pytest.raises(ConfigError, match="'colour' is not a known column"):
        find_columns(table, {"colour": "file"})


def test_columns_are_read_from_the_command_line():
    assert parse_columns("path=Image Index, class=x,source=") == {
        "path": "Image Index", "class": "x", "source": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [("path", "not of the form"), ("x=y", "not a known column")]
)
def test_columns_that_are_wrong_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_columns(text)


ROWS = (("a.png", "58"), ("ö.png", ""))
CSV = "file,age\na.png,58\nö.png,\n"


def write_parquet() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"file": ["a.png", "ö.png"], "age": [58.0, None]}).to_parquet(stream)
    return stream.getvalue()


def write_xlsx() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"file": ["a.png", "ö.png"], "age": [58.0, None]}).to_excel(stream, index=False)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", CSV.encode()),
        ("t.csv", CSV.encode("utf-8-sig")),
        ("t.csv", CSV.encode("utf-16")),
        ("t.csv", CSV.replace(",", ";").encode()),
        ("t.csv", CSV.replace("\n", "\r\n").encode()),
        ("t.tsv", CSV.replace(",", "\t").encode()),
        ("t.CSV", b"\n" + CSV.encode() + b"\n\n"),
        ("t.parquet", write_parquet()),
        ("t.xlsx", write_xlsx()),
    ],
)
def test_every_kind_of_table_gives_the_same_text(name, content):
    table = read_table(content, name=name)
    assert table.columns == ("file", "age")
    assert table.rows == ROWS


def test_rows_have_the_number_that_an_editor_shows_also_after_lines_in_quotes():
    table = read_table(b'file,note\na,"two\nlines"\n\nb,\n', name="t.csv")
    assert table.numbers == (2, 5)


def test_empty_cells_may_be_missing_or_too_many_at_the_end():
    table = read_table(b"a,b,\n1,2\n4,5,,,\n", name="t.csv")
    assert table.rows == (("1", "2", ""), ("4", "5", ""))


@pytest.mark.parametrize("row", [b"1", b"1,2,3"])
def test_a_ragged_row_is_named(row):
    with pytest.raises(SourceError, match=r"Row 3 of 't\.csv' has \d cells and the heading 2"):
        read_table(b"a,b\n1,2\n" + row + b"\n", name="t.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", "file\ncafé.png\n".encode("latin-1"), r"not written in UTF-8 \(byte 8\)"),
        ("t.csv", "a,b\n".encode("utf-16-le"), "zero bytes"),
        ("t.csv", b'a,b\n1,"' + b"x" * 2**21 + b'"\n', "Row 2 of 't.csv' cannot be read"),
        ("t.parquet", b"not parquet", "not a readable Parquet file"),
        ("t.xlsx", b"not a zip", "not a readable xlsx file"),
    ],
)
def test_what_is_no_table_is_refused_with_the_way_out(name, content, message):
    with pytest.raises(SourceError, match=message):
        read_table(content, name=name)


def test_a_sheet_that_unpacks_to_too_much_is_refused_unread(monkeypatch):
    monkeypatch.setattr("cxresnet.data.sources.table_file._MAX_SHEET_BYTES", 10_000)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/worksheets/sheet1.xml", b"0" * 10_001)
    with pytest.raises(SourceError, match="unpacks to more than"):
        read_table(stream.getvalue(), name="t.xlsx")


@pytest.mark.parametrize(("name", "module"), [("t.parquet", "pyarrow"), ("t.xlsx", "openpyxl")])
def test_a_missing_extra_is_named(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"cxresnet\[tables\]"):
        read_table(b"", name=name)


def test_headings_of_another_alphabet_are_told_apart():
    table = read_table("文件,标签,年龄\na.png,正常,7\n".encode(), name="t.csv")
    assert find_columns(table, {"path": "文件", "class": "标签"}) == {"path": 0, "class": 1}


def test_two_columns_of_one_heading_are_refused_by_name():
    table = read_table(b"file,Label,label\na,normal,pneumonia\n", name="t.csv")
    with pytest.raises(SourceError, match="several columns of one name: 'Label' and 'label'"):
        find_columns(table)
    assert find_columns(table, {"class": "label"})["class"] == 2


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_the_first_line_of_excel_names_the_delimiter(first):
    table = read_table(f"{first}\nfile;label\na,b.png;normal\n".encode(), name="t.csv")
    assert table.columns == ("file", "label")
    assert table.rows == (("a,b.png", "normal"),)
    assert table.numbers == (3,)


@pytest.mark.parametrize(
    ("cell", "patient"),
    [
        ("unknown", ""),
        ("N/A", ""),
        ("-", ""),
        ("0", ""),
        ("XXXX", ""),
        ("p1", "p1"),
        ("007", "007"),
    ],
)
def test_a_placeholder_is_no_patient(cell, patient):
    assert read_patient(cell) == patient
    table = read_table(f"file,label,patient\na.png,normal,{cell}\n".encode(), name="t.csv")
    (row,) = read_image_rows(table, find_columns(table))
    assert row.patient_id == patient


def test_the_reference_lists_every_heading_that_is_recognised():
    page = Path(__file__).parents[3] / "docs" / "reference" / "inputs.md"
    listed = {
        role: {fold_label(heading) for heading in re.findall(r"`(\w+)`", headings)}
        for role, headings in re.findall(
            r"^\| `(\w+)` \| ((?:`\w+`,? ?)+)\|", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert listed == {role: set(guesses) for role, guesses in COLUMN_ROLES.items()}
