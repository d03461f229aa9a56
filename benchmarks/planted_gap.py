"""Is a network that learnt the hospital found out, and is an honest one left alone?

Run: python benchmarks/planted_gap.py [--images-per-class 200] [--epochs 30] [--seed 0]
     [--batch-size 16] [--only planted|clean] [--leave-out phantom-a]
Time: about 10 minutes on 2 idle cores; 1 to 2 with --only planted --leave-out phantom-a

Two sets of phantoms from three hospitals, the same but for this: in the planted one, letters in the
corner tell the class in hospitals b and c and are drawn by lot in a. Each hospital is left out in
turn, as `cxresnet evaluate RUN --leave-sources-out` does. Without phantom-a, the network learns
letters that are worth nothing there: the gap must be at least 0.3. On the clean set the interval of
every gap must cover 0. Prints a table in Markdown, and fails where that is not so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from cxresnet.core.config import Config, read_config
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.data.split.source_folds import plan_source_folds
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut, evaluate_left_out_sources
from cxresnet.metrics.estimate import Estimate
from cxresnet.train.fit import run_train

LEAST_GAP = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images-per-class", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("planted", "clean"), help="One of the two sets.")
    parser.add_argument("--leave-out", help="One hospital only, for example phantom-a.")
    given = parser.parse_args()
    common = f"phantoms:images_per_class={given.images_per_class},seed={given.seed}"
    arms = {"planted": f"{common},shortcut=letters,shortcut_sources=bc", "clean": common}
    settings = (f"train.epochs={given.epochs}", f"train.batch_size={given.batch_size}")
    config = read_config(
        Path("smoke"),
        settings=(*settings, "evaluate.bootstrap_resamples=2000"),
    )
    print("| set | left out | images in / out | internal AUROC | external AUROC | gap |")
    print("|---|---|---|---|---|---|", flush=True)
    found = {}
    for name in [given.only] if given.only else arms:
        found[name] = measure(arms[name], config, only=given.leave_out)
        show(name, found[name])
    sys.exit(judge(found))


def measure(source: str, config: Config, *, only: str | None) -> LeaveSourcesOut:
    with tempfile.TemporaryDirectory() as folder:
        run, path = RunFolder(Path(folder) / "run"), Path(folder) / "dataset"
        run_prepare(open_source(source), config=config.data, out=path)
        images = open_dataset(path)
        folds = plan_source_folds(images.manifest, class_names=images.class_names)
        folds = tuple(one for one in folds if only in {None, one.name})
        for one in folds:
            alone = RunFolder(run.get_source_fold(one.sources, seed=0))
            run_train(images, config=config, run=alone, without_sources=one.sources)
        # The access log wants to know a network of the run: there are only those of the folds.
        shutil.copytree(alone.checkpoint, run.checkpoint)
        return evaluate_left_out_sources(run, images, folds, seeds=(0,), config=config.evaluate)


def show(name: str, result: LeaveSourcesOut) -> None:
    for one in result.sets:
        score = one.scores[0]
        cells = (
            name, one.name, f"{one.internal_images} / {one.external_images}",
            describe(score.internal), describe(score.external), describe(score.generalisation_gap),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


def describe(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def judge(found: dict[str, LeaveSourcesOut]) -> int:
    passed = True
    if "planted" in found:
        generalisation_gap = found["planted"].sets[0].scores[0].generalisation_gap
        passed &= generalisation_gap.value >= LEAST_GAP
        print(
            f"\nplanted gap of at least {LEAST_GAP} found: {generalisation_gap.value >= LEAST_GAP}"
        )
    if "clean" in found:
        gaps = [one.scores[0].generalisation_gap for one in found["clean"].sets]
        silent = all(
            generalisation_gap.low <= 0 <= generalisation_gap.high for generalisation_gap in gaps
        )
        passed &= silent
        print(f"clean set: every interval covers 0: {silent}")
    return 0 if passed else 1


if __name__ == "__main__":
    main()
