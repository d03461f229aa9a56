"""One flipped bit in any file of a dataset or a run: found, or in what is only shown to people."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from faults.context import Context, Outcome, Part, Result, copy_anew, run
from faults.stages import build_states

ONLY_SHOWN = (".html", ".png", ".md", ".svg", ".about.txt")
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
        if path.parent.name == "cache" and (fault := _read_cached(path, content)):
            return Outcome("fault", f"{path.relative_to(kept)}: {fault}")
        return _explain(path.relative_to(kept), f"bit {bit} of byte {place}", verify(kept))
    finally:
        path.write_bytes(content)


def _read_cached(path: Path, content: bytes) -> str:
    """Say what is wrong if a damaged map is read as another one; "" if not.

    No command verifies the cache: a damaged entry has to be computed again, without a word.
    """
    from cxresnet.explain.cache import read_cached_map

    found = read_cached_map(path)
    if found is None:
        return ""
    with np.load(io.BytesIO(content)) as whole:
        same = np.array_equal(found.values, whole["values"])
        same &= np.array_equal(
            np.zeros(0) if found.baseline_range is None else found.baseline_range,
            whole["baseline_range"],
        )
    return "" if same else "another map is read"


def verify(kept: Path) -> Result:
    """Verify the run with its dataset, then let a stage read what is left."""
    verified = run(["verify", str(kept / "run")])
    return verified if verified.code else run(["verify", str(kept / "dataset")])


def _explain(name: Path, where: str, result: Result) -> Outcome:
    if result.fault:
        return Outcome("fault", f"{name}, {where}: {result.fault}")
    if result.code:
        return Outcome("found")
    if name.name.endswith(ONLY_SHOWN) or name.parent.name == "tensorboard":
        return Outcome("only shown")
    if name.parent.name == "cache":
        return Outcome("left out or the same")
    return Outcome("fault", f"{name}, {where}: nobody noticed")


PART = Part(
    name="flips",
    promise="A flipped bit in any file that a stage reads is found by `verify`.",
    cases=2_000,
    short=20,
    limit_seconds=900,
    prepare=prepare,
    check=check,
)
