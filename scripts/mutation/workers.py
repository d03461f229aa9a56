"""Run the tests of mutants in forks of a process that has imported the libraries."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = [
    "numpy", "pandas", "scipy.stats", "scipy.optimize", "scipy.ndimage", "sklearn.metrics",
    "sklearn.ensemble", "sklearn.linear_model", "torch", "safetensors.torch", "lightning.pytorch",
    "captum.attr", "matplotlib.pyplot", "PIL.Image", "pydicom", "gdcm", "typer", "rich.progress",
]  # fmt: skip
"""Not pytest and its plugins: they want to be the first to import what they rewrite."""
_MOST_SECONDS = 1200
_MOST_PROCESSOR_SECONDS = 90
_PASSED, _FAILED, _NONE_COLLECTED = 0, 1, 5


@dataclass
class Job:
    """A mutant and the tests that should notice it.

    Attributes:
        name: Unique, and the same when lines have moved.
        part: Row of the table.
        module: Path of the module below `src`.
        source: The module with the fault; its own text for the trial without one.
        tests: Files, or one folder.
        difference: To be shown if it survives.
    """

    name: str
    part: str
    module: Path
    source: str
    tests: tuple[str, ...]
    difference: str = ""


@dataclass
class _Running:
    job: Job
    copy: Path
    until: float


def find_tests(root: Path, module: Path) -> tuple[str, ...]:
    """Find the tests of a module: its mirror first, then those of its room that import it."""
    folder = Path("tests") / module.relative_to("cxresnet").parent
    mirror = str(folder / f"test_{module.name}")
    package, name = ".".join(module.parts[:-1]), module.stem
    imports = re.compile(
        rf"from {re.escape(package)}\.{name} import"
        rf"|from {re.escape(package)} import (\([^)]*|[^\n(]*)\b{name}\b"
    )
    room = root / "tests" / module.parts[1]
    found = {
        str(path.relative_to(root))
        for path in room.rglob("test_*.py")
        if imports.search(path.read_text(encoding="utf-8"))
    }
    if (root / mirror).is_file():
        found.add(mirror)
    return tuple(sorted(found, key=lambda name: (name != mirror, name))) or (str(folder),)


def preload() -> None:
    """Import the libraries, with one thread, so that a fork is whole."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    os.environ["MPLBACKEND"] = "Agg"
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_jobs(jobs: list[Job], *, folder: Path, workers: int) -> Iterator[tuple[Job, str]]:
    """Run jobs side by side.

    Yields:
        Each job when it is done, with "noticed" or "survived".
    """
    copies = [_copy_package(folder / f"copy-{number}") for number in range(workers)]
    running: dict[int, _Running] = {}
    waiting = list(reversed(jobs))
    while waiting or running:
        while waiting and copies:
            one = _Running(waiting.pop(), copies.pop(), time.monotonic() + _MOST_SECONDS)
            running[_start(one)] = one
        time.sleep(0.05)
        for child in list(running):
            code = _read_exit_code(child, running[child])
            if code is None:
                continue
            one = running.pop(child)
            _restore(one)
            copies.append(one.copy)
            yield one.job, "survived" if code in {_PASSED, _NONE_COLLECTED} else "noticed"


def _copy_package(copy: Path) -> Path:
    source = Path(__file__).resolve().parents[2] / "src"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.pyc"))
    return copy


def _start(one: _Running) -> int:
    path = one.copy / one.job.module
    path.write_text(one.job.source, encoding="utf-8")
    _forget_bytecode(path)
    child = os.fork()
    if not child:
        _run_tests(one)
    return child


def _run_tests(one: _Running) -> None:
    """Run the tests, with the examples in the module's docstrings, in this fork, and end."""
    code = 99
    try:
        os.setsid()
        most = int(time.process_time()) + _MOST_PROCESSOR_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        sys.path.insert(0, str(one.copy))
        os.environ["PYTHONPATH"] = str(one.copy)
        handle = os.open(one.copy.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        import pytest

        tests = [*one.job.tests]
        if ">>>" in one.job.source:
            tests += ["--doctest-modules", str(one.copy / one.job.module)]
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
        code = int(pytest.main([*tests, *options, "-c", "pyproject.toml", "--rootdir", "."]))
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001  a fork never returns
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _read_exit_code(child: int, one: _Running) -> int | None:
    """Read the exit code of a child that has ended; end one that runs too long, with its own."""
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() < one.until:
        return None
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _FAILED


def _restore(one: _Running) -> None:
    path = one.copy / one.job.module
    shutil.copyfile(Path(__file__).resolve().parents[2] / "src" / one.job.module, path)
    _forget_bytecode(path)


def _forget_bytecode(path: Path) -> None:
    for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        stale.unlink()
