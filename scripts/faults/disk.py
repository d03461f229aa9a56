"""A disk that is full: no file can grow beyond a size, from a few bytes to almost enough."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

from faults.context import Context, Outcome, Part, copy_anew, run
from faults.stages import STAGES, Stage, build_states, find_differences

_SIZES = 20
_FULL = ("full", "could not be written", "not be written", "too large", "space")


def prepare(shared: Path) -> None:
    """Build the states that the stages start from."""
    build_states(shared)


def limit_files(size_bytes: int) -> None:
    """Let no file of this process grow beyond a size; the write fails, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def check(context: Context, number: int) -> Outcome:
    """Run one stage with one size, then without a limit."""
    stage = STAGES[number // _SIZES % len(STAGES)]
    folder = copy_anew(context.shared / "first" / stage.before, context.scratch / "work")
    size = _choose_size(context.shared / "first" / stage.name, number % _SIZES)
    result = run(stage.list_arguments(folder), first=lambda: limit_files(size))
    where = f"{stage.name} with files up to {size} bytes"
    if result.fault:
        return Outcome("fault", f"{where}: {result.fault}")
    if result.code and not any(word in result.text for word in _FULL):
        return Outcome("fault", f"{where}: no word of the disk: {result.text[-300:]}")
    if not result.code:
        return _compare(context, stage, folder, where=where, word="fits")
    again = run(stage.list_arguments(folder, *_force(stage, folder)))
    if again.code == 2 and stage.name == "prepare" and not again.fault:
        # The dataset was whole, and the disk full only for its report: the sentence says --force.
        again = run(stage.list_arguments(folder, "--force"))
    if again.code:
        return Outcome("fault", f"{where}, then with space: {again.code} {again.text[-300:]}")
    return _compare(context, stage, folder, where=where, word="sentence")


def _compare(context: Context, stage: Stage, folder: Path, *, where: str, word: str) -> Outcome:
    different = find_differences(context.shared, stage.name, folder)
    if different:
        return Outcome("fault", f"{where}: different: {', '.join(different[:4])}")
    return Outcome(word)


def _force(stage: Stage, folder: Path) -> list[str]:
    """Go on with a training that was begun; no other stage needs to be told."""
    return ["--resume"] if stage.name == "train" and (folder / "run").exists() else []


def _choose_size(state: Path, step: int) -> int:
    largest = max(path.stat().st_size for path in state.rglob("*") if path.is_file())
    return int(64 * (largest / 64) ** (step / (_SIZES - 1)))


PART = Part(
    name="disk",
    promise="A full disk ends a stage with one sentence, and the next attempt gives the result.",
    cases=_SIZES * len(STAGES),
    short=2,
    limit_seconds=1800,
    prepare=prepare,
    check=check,
)
