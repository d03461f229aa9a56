"""Is a network that learnt the hospital found out, and is an honest one left alone?

Run: python benchmarks/planted_gap.py [--films-per-class 200] [--epochs 30] [--seed 0]
     [--only planted]
Time: about 10 minutes on 2 idle cores

Two sets of phantoms from three hospitals, the same but for this: in the planted one, letters in the
corner tell the class in hospitals b and c and are drawn by lot in a. Each hospital is left out in
turn (`cxresnet evaluate RUN --leave-one-source-out`). Without phantom-a, the network learns letters
that are worth nothing there: the gap must be at least 0.3. On the clean set the interval of every
gap must cover 0. Prints a table in Markdown, and fails where that is not so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from cxresnet.evaluate.left_out_sources import LeaveOneSourceOut, read_leave_one_source_out
from cxresnet.metrics.estimate import Estimate

LEAST_GAP = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films-per-class", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("planted", "clean"), help="One of the two sets.")
    arguments = parser.parse_args()
    common = f"phantoms:films_per_class={arguments.films_per_class},seed={arguments.seed}"
    arms = {"planted": f"{common},shortcut=letters,shortcut_sources=bc", "clean": common}
    print("| set | left out | films in / out | internal AUROC | external AUROC | gap |")
    print("|---|---|---|---|---|---|", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [arguments.only] if arguments.only else arms:
            source = arms[name]
            found[name] = measure(source, Path(folder) / name, epochs=arguments.epochs)
            show(name, found[name])
    sys.exit(judge(found))


def measure(source: str, run: Path, *, epochs: int) -> LeaveOneSourceOut:
    settings = ("--config", "configs/smoke.toml", "--set", f"train.epochs={epochs}")
    call("prepare", source, "--out", str(run / "dataset"), *settings[:2])
    call("train", str(run / "dataset"), "--out", str(run), *settings)
    call("evaluate", str(run), "--leave-one-source-out")
    return read_leave_one_source_out(run / "evaluate" / "leave_one_source_out.json")


def call(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "cxresnet", "--quiet", *words], check=True, stdout=2)


def show(name: str, result: LeaveOneSourceOut) -> None:
    for one in result.sources:
        score = one.scores[0]
        cells = (
            name, one.source, f"{one.internal_films} / {one.external_films}",
            describe(score.internal), describe(score.external), describe(score.gap),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


def describe(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def judge(found: dict[str, LeaveOneSourceOut]) -> int:
    passed = True
    if "planted" in found:
        gap = found["planted"].sources[0].scores[0].gap
        passed &= gap.value >= LEAST_GAP
        print(f"\nplanted gap of at least {LEAST_GAP} found: {gap.value >= LEAST_GAP}")
    if "clean" in found:
        gaps = [one.scores[0].gap for one in found["clean"].sources]
        silent = all(gap.low <= 0 <= gap.high for gap in gaps)
        passed &= silent
        print(f"clean set: every interval covers 0: {silent}")
    return 0 if passed else 1


if __name__ == "__main__":
    main()
