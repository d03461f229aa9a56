"""What every test may ask for, and what keeps the mark `slow` true.

The fast suite (`-m "not slow"`) stays fast if nothing slow hides in it. Each test's processor time
is measured: its own call and the fixtures made for it alone, with the processes that it waited for.
Processor time hardly depends on what else the machine does, and a test that imported a library for
all that follow is not judged. Beyond `SLOW_SECONDS` an unmarked test is named at the end; beyond
`FAIL_SECONDS`, which no machine in use needs for what takes a tenth of one on another, it fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

# As the command line does, before anything imports torch; see `cli/app.py`.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SLOW_SECONDS = 0.25
FAIL_SECONDS = 10.0
_IMPORTED_MODULES = 50
_MEASURED = "processor_seconds"

_own_seconds = pytest.StashKey[float]()


def _read_processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    start = _read_processor_seconds()
    result = yield
    if fixturedef.scope == "function":
        stash = request.node.stash
        stash[_own_seconds] = stash.get(_own_seconds, 0.0) + _read_processor_seconds() - start
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    modules, start = len(sys.modules), _read_processor_seconds()
    yield
    seconds = item.stash.get(_own_seconds, 0.0) + _read_processor_seconds() - start
    if item.get_closest_marker("slow") or len(sys.modules) - modules > _IMPORTED_MODULES:
        return
    item.user_properties.append((_MEASURED, seconds))
    if seconds > FAIL_SECONDS:
        pytest.fail(
            f"{seconds:.1f} s of processor time and not marked: make it cheaper, or mark it slow."
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the unmarked tests that belong to the slow ones, also where workers ran them."""
    seconds = {
        report.nodeid: dict(report.user_properties).get(_MEASURED, 0.0)
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, ())
        if report.when == "call"
    }
    named = sorted((name for name in seconds if seconds[name] > SLOW_SECONDS), key=seconds.get)
    if named:
        terminalreporter.section(
            f"tests of more than {SLOW_SECONDS:g} s of processor time, not marked slow"
        )
        for name in reversed(named):
            terminalreporter.write_line(f"{seconds[name]:5.1f} s  {name}")


@pytest.fixture(scope="session", autouse=True)
def _leave_files_in_memory() -> Iterator[None]:
    """Do not wait for the disk: no test cuts the power, and files reach it in their own time.

    What is no open file is still refused.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """Small forests in the questions to the data and in the baselines, for a whole module.

    Most of the time of `prepare` and `evaluate` on a few tiny images goes into them.
    """
    from cxresnet.shortcuts import baseline, probe

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "PROBE_FOREST", replace(probe.PROBE_FOREST, trees=20))
        patch.setattr(baseline, "BASELINE_FOREST", replace(baseline.BASELINE_FOREST, trees=20))
        yield


@pytest.fixture(scope="session")
def images_root() -> Path:
    """The folder of real images; the test is skipped, and counted aloud, where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("CXRESNET_DATA", default))
    if not (root / "manifest.csv").is_file():
        pytest.skip("the real images are not here (../shared/data or $CXRESNET_DATA)")
    return root


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A folder with modules that write `ran.txt` beside them, should anything import them."""
    folder = tmp_path / "hostile"
    code = f"open({str(folder / 'ran.txt')!r}, 'a').write(__name__)\n"
    for name in ("cxresnet", "multiprocessing", "concurrent"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(code)
    for name in ("numpy", "inspect", "typer", "torch", "pydicom", "pathlib"):
        (folder / f"{name}.py").write_text(code)
    return folder
