"""Do the sets of classes keep their promise on the road as it is used?

Run: python benchmarks/set_promise.py [--networks 16] [--images-per-class 300] [--first-seed 1]
Time: about a minute a network on one core

Each network learns phantoms of its own; its validation images choose the epoch, the calibration and
the thresholds of the sets, as `train` and `evaluate` do. Then it is asked about phantoms that no
network learnt from. That the validation images choose everything could make the sets too narrow:
this shows whether it does. `set_coverage.py` asks the same of thresholds that were fitted apart.

Prints Markdown, and fails where a class is covered, on average over networks, more than 3 points
off what was asked. One network is off by more: its thresholds rest on few images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config import Config, read_config
from cxresnet.core.run_folder import claim_run_folder
from cxresnet.data.dataset.dataset import ImageSet, open_dataset
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.evaluate.selective import SELECTIVE_NAME, read_selective
from cxresnet.metrics.conformal import build_prediction_sets
from cxresnet.predict import load_predictor
from cxresnet.train.fit import run_train

MOST_OFF = 0.03
JUDGED = "phantoms:images_per_class=600,seed=999"
CONFIG = Path("smoke")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--images-per-class", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run_prepare(open_source(JUDGED), config=build_config(0).data, out=home / "judged")
        evaluated = [open_dataset(home / "judged").select(split) for split in ("train", "val")]
        print(
            "| network | validation images | covered, class by class |\n|---|---|---|", flush=True
        )
        rows = []
        for seed in range(given.first_seed, given.first_seed + given.networks):
            images, covered = measure(home, evaluated, seed, given.images_per_class)
            rows.append(covered)
            shown = ", ".join(f"{share:.3f}" for share in covered)
            print(f"| {seed} | {images} | {shown} |", flush=True)
        names = open_dataset(home / "judged").class_names
    asked = build_config(0).evaluate.coverage
    sys.exit(show(names, np.array(rows), images=sum(map(len, evaluated)), asked=asked))


def build_config(seed: int) -> Config:
    settings = ("train.epochs=30", "train.batch_size=16", f"train.seed={seed}")
    return read_config(CONFIG, settings=(*settings, "evaluate.shortcut_baselines=false"))


def measure(
    home: Path, evaluated: list[ImageSet], seed: int, images_per_class: int
) -> tuple[int, NDArray[np.float64]]:
    """Train, evaluate, ask; gives the validation images and the coverage of each class."""
    config = build_config(seed)
    path = home / f"dataset-{seed}"
    source = open_source(f"phantoms:images_per_class={images_per_class},seed={seed}")
    run_prepare(source, config=config.data, out=path)
    dataset = open_dataset(path)
    run = claim_run_folder(home / f"run-{seed}", dataset=path)
    run_train(dataset, config=config, run=run)
    point = run_evaluate(run, config=config.evaluate).operating_point
    found = read_selective(run.evaluate / SELECTIVE_NAME)
    predictor = load_predictor(run.checkpoint)
    logits = np.concatenate([predictor.predict_images(images.images) for images in evaluated])
    truth = np.concatenate([images.labels for images in evaluated])
    sets = build_prediction_sets(point.calibrate(logits), found.thresholds)
    held = sets[np.arange(len(truth)), truth]
    covered = [held[truth == index].mean() for index in range(len(found.class_names))]
    return len(dataset.select("val")), np.array(covered)


def show(names: tuple[str, ...], table: NDArray[np.float64], *, images: int, asked: float) -> int:
    spread = table.std(axis=0, ddof=1)
    print(f"\nAsked for {asked:.3f}; {images} images judged by each of {len(table)} networks\n")
    print(
        "| class | mean over networks | its standard error | sd of one network |\n|---|---|---|---|"
    )
    for index, name in enumerate(names):
        numbers = (table[:, index].mean(), spread[index] / np.sqrt(len(table)), spread[index])
        print(f"| {name} | {' | '.join(f'{number:.3f}' for number in numbers)} |")
    worst = float(np.abs(table.mean(axis=0) - asked).max())
    print(f"\nfurthest off: {worst:.3f}")
    return 0 if worst <= MOST_OFF else 1


if __name__ == "__main__":
    main()
