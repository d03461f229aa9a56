from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxresnet.core import files
from cxresnet.core.errors import RunFolderError, StorageError
from cxresnet.core.files import (
    atomic_write,
    compute_sha256,
    explain_storage_errors,
    locked,
    read_json,
    write_bytes,
    write_json,
    write_text,
)


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a" / "b.txt", "Größe")
    assert path.read_bytes() == "Größe".encode()


def test_nothing_is_left_behind_when_writing_fails_half_way(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def write_half() -> None:
        with atomic_write(path) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_is_said_in_one_sentence_and_the_old_file_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bytes(tmp_path / "a.bin", b"old")

    def refuse(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"disk is full; .*a\.bin.* was not written"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_place_that_may_not_be_written_is_said(code: int, tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="may not be written"),
        explain_storage_errors(tmp_path),
    ):
        raise OSError(code, "no")


def test_json_goes_there_and_back_in_the_order_given(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"z": 1.5, "a": ["ü", None]})
    assert read_json(path) == {"z": 1.5, "a": ["ü", None]}
    assert path.read_text().index('"z"') < path.read_text().index('"a"')


def test_json_refuses_what_other_readers_could_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not (tmp_path / "a.json").exists()


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    # The SHA-256 of "abc", from FIPS 180-2, appendix B.1.
    path = write_bytes(tmp_path / "abc", b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert compute_sha256(path) == expected


# One process at a time.


HOLD = """
import sys, time
from pathlib import Path
from cxresnet.core.files import locked
with locked(Path(sys.argv[1]), what="it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_the_second_is_told_who_is_at_work(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    message = rf"Another command \(process {holder.pid}\) is writing 'x'.*another --out"
    with pytest.raises(RunFolderError, match=message), locked(tmp_path / "lock", what="'x'"):
        pytest.fail("both hold it")


@pytest.mark.slow
def test_a_killed_holder_holds_nobody_up(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock", what="'x'"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert not (tmp_path / "lock").exists()


def test_it_is_given_back_after_an_error_and_can_be_taken_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "deep" / "lock", what="'x'"):
        raise KeyboardInterrupt
    with locked(tmp_path / "deep" / "lock", what="'x'"):
        pass
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_same_thread_may_hold_it_several_times(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", what="'x'"):
        with locked(tmp_path / "lock", what="'x'"):
            pass
        assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_one_that_waits_gets_it_once_it_is_free(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as others, locked(tmp_path / "lock", what="'x'"):
        waiting = others.submit(_take_and_give_back, tmp_path / "lock", 30)
        refused = others.submit(_take_and_give_back, tmp_path / "lock", 0)
        with pytest.raises(RunFolderError, match="is writing 'x' at this moment"):
            refused.result()
        assert not waiting.done()
    assert waiting.result()


def _take_and_give_back(path: Path, wait_seconds: float) -> bool:
    with locked(path, what="'x'", wait_seconds=wait_seconds):
        return True


def test_a_file_of_another_holder_is_not_taken_away(tmp_path: Path) -> None:
    """The folder was replaced meanwhile, and somebody holds the lock of the new one."""
    with locked(tmp_path / "d" / "lock", what="'x'"):
        (tmp_path / "d").rename(tmp_path / "replaced")
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "lock").write_text("another process")
    assert (tmp_path / "d" / "lock").read_text() == "another process"


def test_a_file_system_without_locks_is_said_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    with locked(tmp_path / "lock", what="the run 'x'"):
        pass
    assert "has no locks: do not let two commands write the run 'x' at once" in caplog.text


def test_a_place_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), locked(tmp_path / "file" / "lock", what="'x'"):
        pytest.fail("no lock there")
