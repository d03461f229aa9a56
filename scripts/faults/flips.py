"""One flipped bit in any file of a dataset or a run: found, or in what is only shown to people."""

from __future__ import annotations

from pathlib import Path

from faults.context import Context, Outcome, Part, Result, copy_anew, run
from faults.stages import build_states

ONLY_SHOWN = (".html", ".png", ".md", ".svg")
"""Pages, pictures and cards for people: no stage reads them, so no stage can notice."""


def prepare(shared: Path) -> None:
    """Build a dataset and a run with all stages; see that they are whole."""
    build_states(shared)


def check(context: Context, number: int) -> Outcome:
    """Flip one bit of one file, and verify."""
    kept = context.scratch.parent / f"{context.scratch.name}-kept"
    if not kept.is_dir():
        copy_anew(context.shared / "first" / "report", kept)
    dice = context.random("flips", number)
    files = sorted(path for path in kept.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[number % len(files)]
    content = path.read_bytes()
    place, bit = dice.randrange(len(content)), dice.randrange(8)
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    try:
        path.write_bytes(changed)
        return _explain(path.relative_to(kept), f"bit {bit} of byte {place}", verify(kept))
    finally:
        path.write_bytes(content)


def verify(kept: Path) -> Result:
    """Verify the run with its dataset, then let a stage read what is left."""
    verified = run(["verify", str(kept / "run")])
    return verified if verified.code else run(["verify", str(kept / "dataset")])


def _explain(name: Path, where: str, result: Result) -> Outcome:
    if result.fault:
        return Outcome("fault", f"{name}, {where}: {result.fault}")
    if result.code:
        return Outcome("found")
    if name.suffix in ONLY_SHOWN:
        return Outcome("only shown")
    return Outcome("fault", f"{name}, {where}: nobody noticed")


PART = Part(
    name="flips",
    promise="A flipped bit in any file that a stage reads is found by `verify`.",
    cases=2_000,
    short=40,
    limit_seconds=900,
    prepare=prepare,
    check=check,
)
