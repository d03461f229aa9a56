from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cxresnet.core.errors import CheckpointError, StorageError
from cxresnet.model import sealed_folder
from cxresnet.model.sealed_folder import find_sealed_folder, read_sealed_folder, write_sealed_folder

FILES = {"weights.safetensors": bytes(range(64)), "record.json": b'{"a": 1}\n', "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sealed_folder(tmp_path / "checkpoint", FILES)


def test_what_is_written_is_read(folder: Path) -> None:
    assert read_sealed_folder(folder) == FILES


def test_nothing_else_is_left_behind(folder: Path) -> None:
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]
    assert {path.name for path in folder.iterdir()} == {*FILES, "MANIFEST.json"}


def test_the_manifest_holds_the_sums_that_sha256sum_gives(folder: Path) -> None:
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    lines = "".join(f"{one['sha256']}  {name}\n" for name, one in manifest["files"].items())
    subprocess.run(
        ["sha256sum", "--check", "--strict"], input=lines, text=True, cwd=folder, check=True
    )


def test_the_last_two_states_are_kept(folder: Path) -> None:
    for number in range(3):
        write_sealed_folder(folder, {"number": str(number).encode()})
    assert read_sealed_folder(folder) == {"number": b"2"}
    assert read_sealed_folder(folder.with_name("checkpoint.previous")) == {"number": b"1"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "MANIFEST.json"])
def test_a_file_torn_at_any_byte_is_refused_by_name(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=f"{name}' .*cut off"):
            read_sealed_folder(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "MANIFEST.json"])
def test_a_flipped_bit_in_any_byte_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(CheckpointError):
            read_sealed_folder(folder)


def test_a_file_with_something_behind_it_is_refused_by_name(folder: Path) -> None:
    with (folder / "record.json").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(CheckpointError, match=r"record.json' is longer than written: 10 bytes"):
        read_sealed_folder(folder)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / "empty").unlink()
    with pytest.raises(CheckpointError, match="empty' is missing"):
        read_sealed_folder(folder)


def test_swapped_files_are_refused(tmp_path: Path) -> None:
    folder = write_sealed_folder(tmp_path / "one", {"a": b"12", "b": b"34"})
    (folder / "a").rename(folder / "c")
    (folder / "b").rename(folder / "a")
    (folder / "c").rename(folder / "b")
    with pytest.raises(CheckpointError, match="a' was altered"):
        read_sealed_folder(folder)


def test_a_stale_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    other = write_sealed_folder(tmp_path / "other", {**FILES, "record.json": b'{"a": 2}\n'})
    shutil.copy(other / "MANIFEST.json", folder)
    with pytest.raises(CheckpointError, match=r"record\.json' was altered"):
        read_sealed_folder(folder)


def test_a_newer_format_is_refused_with_the_way_out(folder: Path) -> None:
    path = folder / "MANIFEST.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CheckpointError, match=r"has format 2; .* up to 1\. Update cxresnet"):
        read_sealed_folder(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", ".."])
def test_a_manifest_that_points_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    entry = {"size_bytes": 6, "sha256": "0" * 64}
    content = sealed_folder._format_manifest({"format": 1, "files": {name: entry}})
    (folder / "MANIFEST.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"MANIFEST.json' was altered"):
        read_sealed_folder(folder)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", "[" * 100_000, '{"format": 1, "files": []}', "\udcff"]
)
def test_a_manifest_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "MANIFEST.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"MANIFEST.json' was altered"):
        read_sealed_folder(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint '.*nowhere' is missing.*train again"):
        read_sealed_folder(tmp_path / "nowhere")


def test_a_folder_of_something_else_is_neither_read_nor_moved_away(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"has no MANIFEST\.json"):
        read_sealed_folder(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"holds something that is not a checkpoint\. Move it"
    ):
        write_sealed_folder(tmp_path, FILES)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "checkpoint"
    place.write_text("a file")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        write_sealed_folder(place, FILES)


def test_a_whole_folder_is_found_without_a_word(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_sealed_folder(folder, FILES)
    assert find_sealed_folder(folder) == folder
    assert not caplog.records


def test_the_previous_one_is_used_and_said_aloud_when_the_last_is_torn(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_sealed_folder(folder, {"new": b"12345"})
    (folder / "new").write_bytes(b"123")
    with caplog.at_level(logging.WARNING):
        assert find_sealed_folder(folder).name == "checkpoint.previous"
    assert "new' is cut off: 3 bytes, not 5" in caplog.text
    assert "Continuing with" in caplog.text
    assert "checkpoint.previous" in caplog.text


def test_without_a_whole_one_the_problem_of_the_first_is_told(folder: Path) -> None:
    (folder / "record.json").unlink()
    with pytest.raises(CheckpointError, match=r"record.json' is missing"):
        find_sealed_folder(folder)


def test_a_torn_folder_can_be_written_over_and_the_previous_stays_until_then(folder: Path) -> None:
    write_sealed_folder(folder, {"new": b"2"})
    (folder / "new").write_bytes(b"")
    write_sealed_folder(folder, {"new": b"3"})
    assert read_sealed_folder(folder) == {"new": b"3"}


def test_a_full_disk_leaves_the_last_state_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed_folder, "write_bytes", refuse)
    with pytest.raises(StorageError, match="disk is full"):
        write_sealed_folder(folder, {"new": b"2"})
    assert find_sealed_folder(folder) == folder
    assert read_sealed_folder(folder) == FILES


KILLED_AT_EVERY_STEP = """
import os, shutil, sys
from pathlib import Path
from cxresnet.model.sealed_folder import find_sealed_folder, read_sealed_folder, write_sealed_folder

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.chmod"}
root = Path(sys.argv[1])
left = None

def count(event, arguments):
    global left
    if left is not None and event in STEPS:
        left -= 1
        if left < 0:
            os._exit(9)

sys.addaudithook(count)

def write_and_die(folder, steps, number):
    global left
    child = os.fork()
    if child == 0:
        left = steps
        write_sealed_folder(folder, {"number": number, "more": number * 50})
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

# `before`: how many states were written whole first; `again`: killed a second time as well.
deaths = 0
for before in (1, 2):
    for again in (None, 12):
        steps, died = 0, True
        while died:
            folder = root / "checkpoint"
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            for number in range(before):
                write_sealed_folder(folder, {"number": b"%d" % number})
            died = write_and_die(folder, steps, b"7")
            if again is not None:
                write_and_die(folder, again, b"8")
            found = read_sealed_folder(find_sealed_folder(folder))["number"]
            assert found in {b"%d" % (before - 1), b"7", b"8"}, (before, steps, again, found)
            write_sealed_folder(folder, {"number": b"9"})
            assert find_sealed_folder(folder) == folder
            assert read_sealed_folder(folder) == {"number": b"9"}
            deaths += died
            steps += 1
print(deaths)
"""


@pytest.mark.slow
def test_killed_at_any_step_of_writing_a_whole_state_is_found_and_writing_goes_on(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 80


KILLED_IN_THE_FIRST_WRITE = (
    KILLED_AT_EVERY_STEP.split("# `before`", maxsplit=1)[0]
    + """
steps, died, kept = 0, True, 0
while died:
    folder = root / "checkpoint"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    died = write_and_die(folder, steps, b"7")
    try:
        find_sealed_folder(folder)
    except Exception:
        pass
    else:  # what was whole once stays so, however often the next write is killed
        kept += died
        for again in range(0, 40, 3):
            write_and_die(folder, again, b"8")
            assert read_sealed_folder(find_sealed_folder(folder))["number"] in {b"7", b"8"}
    steps += 1
print(kept)
"""
)


@pytest.mark.slow
def test_killed_before_the_very_first_rename_the_new_state_is_found_and_never_lost(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_FIRST_WRITE, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
