"""One process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cxresnet.core.errors import RunFolderError, StorageError
from cxresnet.core.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from cxresnet.core.lock import locked
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


def test_the_second_is_told_who_is_at_work(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    message = rf"Another command \(process {holder.pid}\) is writing 'x'.*another --out"
    with pytest.raises(RunFolderError, match=message), locked(tmp_path / "lock", what="'x'"):
        pytest.fail("both hold it")


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


def test_a_place_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), locked(tmp_path / "file" / "lock", what="'x'"):
        pytest.fail("no lock there")
