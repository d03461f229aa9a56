"""`checksums.json`: an altered file is found, and the way out is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.core.checksums import (
    CHECKSUMS_NAME,
    FileState,
    compare_checksum,
    find_altered_files,
    forget_checksums,
    read_checksums,
    record_checksums,
    record_folder_checksums,
    require_unaltered,
)
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.finding import Finding, read_findings, write_findings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "b.csv").write_text("b")
    record_checksums(tmp_path / "a.csv")
    return tmp_path


def test_an_altered_file_is_refused_with_the_way_out(folder: Path) -> None:
    require_unaltered(folder / "a.csv", way_out="Do it again.")
    (folder / "a.csv").write_text("A")
    with pytest.raises(RunFolderError, match=r"a\.csv' was altered after .* Do it again\."):
        require_unaltered(folder / "a.csv", way_out="Do it again.")
    assert list(find_altered_files(folder)) == [
        f"The file {folder.name}/a.csv was altered: its SHA-256 has changed."
    ]


def test_a_file_that_is_gone_is_named(folder: Path) -> None:
    (folder / "a.csv").unlink()
    assert compare_checksum(folder / "a.csv") is FileState.ALTERED
    assert list(find_altered_files(folder)) == [f"The file {folder.name}/a.csv is missing."]


def test_each_file_has_its_own_checksum_until_it_is_removed(folder: Path) -> None:
    assert compare_checksum(folder / "b.csv") is FileState.UNRECORDED
    require_unaltered(folder / "b.csv", way_out="")
    record_checksums(folder / "b.csv")
    assert sorted(read_checksums(folder)) == ["a.csv", "b.csv"]
    (folder / "a.csv").unlink()
    record_checksums(folder / "b.csv")
    assert sorted(read_checksums(folder)) == ["b.csv"]


def test_recording_another_file_does_not_accept_an_altered_one(folder: Path) -> None:
    (folder / "a.csv").write_text("A")
    record_checksums(folder / "b.csv")
    assert compare_checksum(folder / "a.csv") is FileState.ALTERED


def test_a_folder_is_recorded_without_hidden_files_and_subfolders(folder: Path) -> None:
    (folder / ".hidden").write_text("")
    (folder / "inner").mkdir()
    forget_checksums(folder)
    assert read_checksums(folder) == {}
    record_folder_checksums(folder)
    assert sorted(read_checksums(folder)) == ["a.csv", "b.csv"]
    record_folder_checksums(folder / "inner")
    assert list((folder / "inner").iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"format": 2, "files": {}}', '{"format": 1, "files": {"../a.csv": "0"}}', "{}"],
)
def test_damaged_checksums_are_told(folder: Path, content: str) -> None:
    (folder / CHECKSUMS_NAME).write_text(content)
    with pytest.raises(RunFolderError, match=r"checksums\.json' is damaged"):
        compare_checksum(folder / "a.csv")
    (problem,) = find_altered_files(folder)
    assert "is damaged" in problem


def test_a_verdict_on_the_data_that_was_edited_is_refused(tmp_path: Path) -> None:
    finding = Finding(question="q", title="Q?", verdict="red", sentence="It does.")
    path = write_findings(tmp_path, (finding,))
    assert read_findings(tmp_path) == (finding,)
    content = read_json(path)
    content[0]["verdict"] = "green"
    write_json(path, content)
    with pytest.raises(DatasetError, match=r"altered.*'cxresnet prepare'"):
        read_findings(tmp_path)
