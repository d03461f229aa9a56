"""SIGKILL at random moments of every stage, half of them right before or after a rename."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.context import Context, Outcome, Part, copy_anew, kill, run, start, wait
from faults.stages import STAGES, Stage, build_states, count_accesses, find_differences

_NAMES = ("rename", "replace", "unlink", "rmdir", "fsync")


class Renames:
    """Counts what changes the names in a folder, and dies at one of them."""

    def __init__(self, count_file: Path | None = None, *, die_at: int = 0, after: bool) -> None:
        self._count_file, self._die_at, self._after = count_file, die_at, after
        self.count = 0

    def install(self) -> None:
        """Wrap the functions of this process; its helpers write nothing that counts."""
        for name in _NAMES:
            setattr(os, name, self._wrap(getattr(os, name)))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._die_at and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if self.count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._count_file is not None:
                self._count_file.write_text(f"{self.count}")
            return result

        return change


def prepare(shared: Path) -> None:
    """Build all states, and measure each stage: its seconds and its renames."""
    build_states(shared)
    for stage in STAGES:
        folder = copy_anew(shared / "first" / stage.before, shared / "work")
        counter = Renames(shared / f"renames-{stage.name}", after=True)
        began = time.monotonic()
        run(stage.list_arguments(folder), first=counter.install)
        (shared / f"seconds-{stage.name}").write_text(f"{time.monotonic() - began}")


def check(context: Context, number: int) -> Outcome:
    """Kill one stage once, run it again, and compare."""
    stage = STAGES[number % len(STAGES)]
    dice = context.random("kills", number)
    folder = copy_anew(context.shared / "first" / stage.before, context.scratch / "work")
    accesses = count_accesses(folder / "dataset")
    where = disturb(context, stage, folder, dice=dice)
    again = run(stage.list_arguments(folder, *stage.again))
    word = "same"
    if again.code in {2, 3} and not again.fault:
        word = "sentence"
        way = ["--force"] if stage.name.startswith(("prepare", "train")) else []
        again = run(stage.list_arguments(folder, *way))
    if again.code:
        return Outcome("fault", f"{stage.name} {where}: {again.code} {again.text[-300:]}")
    if stage.name.startswith("prepare") and count_accesses(folder / "dataset") < accesses:
        return Outcome("fault", f"{stage.name} {where}: accesses to the test set were forgotten")
    different = find_differences(context.shared, stage.name, folder)
    if different:
        return Outcome("fault", f"{stage.name} {where}: different: {', '.join(different[:4])}")
    return Outcome(word)


def disturb(context: Context, stage: Stage, folder: Path, *, dice: random.Random) -> str:
    """Start a stage and kill it; returns where."""
    if dice.random() < 0.5:
        most = int((context.shared / f"renames-{stage.name}").read_text())
        place, after = dice.randint(1, most), dice.random() < 0.5
        killer = Renames(die_at=place, after=after)
        wait(start(stage.list_arguments(folder), first=killer.install))
        return f"killed {'after' if after else 'before'} rename {place} of {most}"
    moment = dice.uniform(0, float((context.shared / f"seconds-{stage.name}").read_text()))
    child = start(stage.list_arguments(folder))
    time.sleep(moment)
    kill(child)
    return f"killed after {moment:.2f} s"


PART = Part(
    name="kills",
    promise="A stage that was killed gives the same result when it is run again.",
    cases=300,
    short=6,
    limit_seconds=1800,
    prepare=prepare,
    check=check,
)
