"""Records on disk: strict, and clear about what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import read_json
from cxresnet.core.record import Record, compare_format, read_record, write_record


class Example(Record):
    format: Literal[2] = 2
    count: int


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = write_record(tmp_path / "example.json", Example(count=3))
    assert read_record(path, Example, command="cxresnet example") == Example(count=3)


def test_an_edited_record_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_record(tmp_path / "example.json", Example(count=3))
    path.write_text(path.read_text().replace("3", "4"))
    with pytest.raises(RunFolderError, match=r"was altered.*Make it with 'cxresnet example'"):
        read_record(path, Example, command="cxresnet example")


def test_a_record_outside_of_a_stage_has_no_checksum(tmp_path: Path) -> None:
    write_record(tmp_path / "example.json", Example(count=3), with_checksum=False)
    assert [path.name for path in tmp_path.iterdir()] == ["example.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no"),
        ('{"format": 2, "cou', "damaged"),
        ('{"format": 1, "count": 3}', r"another version \(format 1; this one reads 2\)"),
        ('{"format": 2, "count": 3, "more": 4}', "cannot be read by this version"),
        ("[]", "another version"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(
    content: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "example.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunFolderError, match=rf"{said}.*Make it with 'cxresnet example'"):
        read_record(path, Example, command="cxresnet example")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"format": ' + "9" * 5000 + "}"])
def test_json_that_is_too_much_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(RunFolderError, match="is not valid JSON"):
        read_record(tmp_path / "a.json", Example, command="x")
    assert compare_format(content.encode(), Example) == 0
    with pytest.raises(ValueError, match=r"nested|digits"):
        read_json(tmp_path / "a.json")
