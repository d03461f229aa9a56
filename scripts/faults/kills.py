"""SIGKILL at random moments of every stage, half of them right before or after a rename."""

from __future__ import annotations

import random
import time
from pathlib import Path

from faults.context import Context, Outcome, Part, copy_anew, kill, run, start, wait
from faults.stages import STAGES, Renames, Stage, build_states, count_accesses, find_differences


def prepare(shared: Path) -> None:
    """Build all states, with the seconds and the renames of each stage."""
    build_states(shared)


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
