from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxresnet.core.errors import DatasetError
from cxresnet.core.printable import make_printable
from cxresnet.data.manifest import (
    MANIFEST_COLUMNS,
    build_manifest,
    read_manifest,
    read_safe_csv,
    write_manifest,
    write_safe_csv,
)


def make_columns(count: int = 2, **changes: Any) -> dict[str, Any]:
    blank = {"str": "", "int64": 7, "float64": 0.25}
    columns: dict[str, Any] = {
        name: [blank[kind]] * count for name, kind in MANIFEST_COLUMNS.items()
    }
    columns |= {
        "image_id": ["a.png", "b.png"],
        "class_name": (["normal", "covid-19"] * count)[:count],
        "split": (["train", "test"] * count)[:count],
    }
    return columns | changes


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    frame = build_manifest(make_columns(patient_id=["007", "NA"], age_years=["", "nan"]))
    pd.testing.assert_frame_equal(read_manifest(write_manifest(tmp_path / "m.csv", frame)), frame)


_TEXTS = st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20))


@pytest.mark.slow
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(rows=st.lists(_TEXTS, min_size=1, max_size=16, unique_by=lambda row: make_printable(row[0])))
def test_any_text_comes_back(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    """Many texts an example, since a file takes far longer than a row."""
    names, sources = zip(*rows, strict=True)
    frame = build_manifest(make_columns(len(rows), image_id=[*names], source=[*sources]))
    pd.testing.assert_frame_equal(read_manifest(write_manifest(tmp_path / "m.csv", frame)), frame)


@pytest.mark.parametrize(
    "start", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "'a", "\uff1d1+1", " =a", "\u3000\u200d@a"]
)
def test_no_cell_is_a_formula(start: str, tmp_path: Path) -> None:
    path = write_safe_csv(tmp_path / "t.csv", (start, "b"), [(start, "b")])
    assert path.read_bytes().decode().count(f"'{start}") == 2
    assert read_safe_csv(path) == ([start, "b"], [[start], ["b"]])
    path = write_manifest(tmp_path / "m.csv", build_manifest(make_columns(source=[start, ""])))
    assert read_manifest(path)["source"].iloc[0] == make_printable(start)
    assert f'"{start}"' not in path.read_bytes().decode()


def test_no_cell_of_the_manifest_commands_a_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]0;title\x07\u202e"
    frame = build_manifest(make_columns(source=[hostile, ""], patient_id=[hostile, ""]))
    path = write_manifest(tmp_path / "m.csv", frame)
    assert path.read_text(encoding="utf-8").isascii()
    assert "\x1b" not in path.read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(read_manifest(path), frame)


def test_a_file_name_of_other_bytes_is_escaped(tmp_path: Path) -> None:
    frame = build_manifest(make_columns(image_id=["\udcff.png", "b"]))
    assert frame["image_id"].iloc[0] == r"\xff.png"
    write_manifest(tmp_path / "m.csv", frame)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": ["a", "a"]}, "'a' is in the manifest twice"),
        ({"class_name": ["normal", ""]}, "'b.png' has no class"),
        (
            {"split": ["train", "tset"]},
            "'b.png' is in the split 'tset'; known are train, val, test",
        ),
        ({"fold": ["1", "x"]}, "column fold holds something else than whole numbers"),
        ({"fold": ["1", "9" * 30]}, "column fold holds something else than whole numbers"),
        ({"fold": ["1", "9" * 5000]}, "column fold holds something else than whole numbers"),
        ({"border_grey": ["1", ""]}, "column border_grey holds something else than numbers"),
    ],
)
def test_a_manifest_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        build_manifest(make_columns(**changes))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("image_id,class_name\na,normal\n")
    with pytest.raises(DatasetError, match=r"no column patient_id, source, .*Prepare"):
        read_manifest(path)


def test_a_missing_file_and_a_file_of_bytes_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no manifest"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_any_table_of_texts_comes_back(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    path = write_safe_csv(tmp_path / "t.csv", ("a", "b"), rows)
    names, columns = read_safe_csv(path)
    assert names == ["a", "b"]
    assert list(zip(*columns, strict=True)) == rows


@pytest.mark.parametrize("content", ["", 'a,b\n"x\n', "a,b\n1\n", "a,b\n1,2,3\n"])
def test_what_is_no_table_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=r".+"):
        read_safe_csv(tmp_path / "t.csv")


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    path = write_safe_csv(tmp_path / "t.csv", ("n", "t"), [(-1, "-1")])
    assert path.read_text() == '"n","t"\n-1,"\'-1"\n'
