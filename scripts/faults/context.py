"""What every part of `scripts/chaos` uses: a case, its random numbers, and commands in forks."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UNEXPECTED = ("Unexpected error", "Traceback (most recent call last)", "Fatal Python error")
_COMMAND_SECONDS = 600


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        word: A short word for the table, for example "image", "same" or "sentence".
        fault: What a promise does not allow, in a sentence; "" if all is well.
    """

    word: str
    fault: str = ""


@dataclass(frozen=True)
class Context:
    """Where a part works.

    Attributes:
        shared: A folder that `prepare` of the part has filled, read by all cases.
        scratch: An empty folder of the worker; it is emptied after each case.
        seed: Of the whole.
    """

    shared: Path
    scratch: Path
    seed: int

    def random(self, part: str, number: int) -> random.Random:
        """Return the random numbers of one case, whatever ran before it."""
        return random.Random(f"{self.seed} {part} {number}")  # noqa: S311  not a secret


@dataclass(frozen=True)
class Part:
    """One kind of fault.

    Attributes:
        name: As of `--part`.
        promise: What must hold, for the table.
        cases: At full size.
        short: In the short form.
        limit_seconds: For one case; longer is a hang.
        prepare: Fills `Context.shared` once.
        check: Runs one case by number.
    """

    name: str
    promise: str
    cases: int
    short: int
    limit_seconds: float
    prepare: Callable[[Path], None]
    check: Callable[[Context, int], Outcome]


@dataclass(frozen=True)
class Result:
    """How a command ended.

    Attributes:
        code: Its exit code, negative for a signal.
        text: All that it said.
    """

    code: int
    text: str

    @property
    def fault(self) -> str:
        """Say what is wrong with this ending; "" for success or one clear sentence."""
        if self.code < 0:
            return f"ended by signal {-self.code}: {self.text[-200:]}"
        if any(word in self.text for word in UNEXPECTED) or self.code not in {0, 2, 3}:
            return f"exit code {self.code}: {self.text[-400:]}"
        return "" if self.code == 0 or self.text.strip() else f"exit code {self.code}, no word"


@dataclass
class Command:
    """A command that runs.

    Attributes:
        child: Its process id.
        output: A pipe with all that it says; no limit on the size of files touches it.
        said: What was read from there so far.
    """

    child: int
    output: int
    said: bytes = b""

    def listen(self) -> None:
        """Read what it has said, without waiting."""
        with contextlib.suppress(BlockingIOError):
            while some := os.read(self.output, 2**16):
                self.said += some


def start(arguments: list[str], *, first: Callable[[], object] | None = None) -> Command:
    """Start a command of cxresnet in a fork, which has imported everything already.

    Args:
        arguments: As on the command line.
        first: Called in the fork before the command.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        os.set_blocking(reader, False)
        return Command(child, reader)
    code = 99
    try:
        os.setsid()
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        # Those of the parent may stand for a file, which can be wound back; a pipe cannot.
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8")
        if first is not None:
            first()
        from cxresnet.cli.app import run_command_line

        code = run_command_line(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:  # noqa: BLE001  a fork never returns
        os.write(2, f"Unexpected error {type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def wait(command: Command, *, seconds: float = _COMMAND_SECONDS) -> Result:
    """Wait for a command, and end it with its helpers when it hangs."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(command.child, os.WNOHANG)
        command.listen()
        if done:
            stop_group(command.child)
            os.close(command.output)
            text = command.said.decode("utf-8", errors="replace")
            return Result(os.waitstatus_to_exitcode(status), text)
        time.sleep(0.01)
    kill(command)
    return Result(-signal.SIGKILL, f"a hang of more than {seconds} s")


def kill(command: Command) -> None:
    """Kill a command with its helpers, as a power cut would."""
    stop_group(command.child)
    with contextlib.suppress(ProcessLookupError):
        os.kill(command.child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(command.child, 0)
    os.close(command.output)


def stop_group(child: int) -> None:
    """End what a command of ours has left behind, and it alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def run(arguments: list[str], *, first: Callable[[], object] | None = None) -> Result:
    """Run a command to its end."""
    return wait(start(arguments, first=first))


def must_run(arguments: list[str], *, first: Callable[[], object] | None = None) -> None:
    """Run a command that has to succeed, or stop everything."""
    result = run(arguments, first=first)
    if result.code:
        raise SystemExit(f"cxresnet {' '.join(arguments)}: {result.code}\n{result.text}")


def copy_anew(source: Path, target: Path) -> Path:
    """Copy a folder in place of whatever lies there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
