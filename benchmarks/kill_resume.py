"""Does a training that was killed with SIGKILL go on to the very same bits?

    python benchmarks/kill_resume.py --kills 20

A training on phantoms runs once undisturbed. Then it runs again and again, each time killed at
a random moment (within a step, a save, a validation) and gone on with; weights, moving average,
state of the optimizer and history must come out as in the undisturbed run, to the bit. The state is
saved after every step, so that many kills hit a save. Exit code 1 if a single bit differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cxresnet.core.config import Config, DataConfig, ModelConfig, TrainConfig
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.train.fit import run_train

_SIDE_PX = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images-per-class", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return kill_and_compare(Path(folder), options)


def kill_and_compare(folder: Path, options: argparse.Namespace) -> int:
    dataset = folder / "dataset"
    wait(start(lambda: prepare_phantoms(dataset, images=options.images_per_class)))
    config = build_config(options.epochs)
    began = time.monotonic()
    wait(start(lambda: train(dataset, folder / "undisturbed", config)))
    seconds = time.monotonic() - began
    expected = compute_digest(folder / "undisturbed")
    print(f"undisturbed: {seconds:.1f} s, {expected[:16]}", flush=True)
    moments = random.Random(options.seed)  # noqa: S311  not a secret
    different = 0
    for number in range(options.kills):
        run = folder / f"killed-{number}"
        moment = moments.uniform(0, seconds)
        child = start(lambda: train(dataset, run, config))  # noqa: B023  forked at once
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        epochs = count_epochs(run)
        wait(start(lambda: train(dataset, run, config)))  # noqa: B023
        same = compute_digest(run) == expected
        different += not same
        word = "same" if same else "DIFFERENT"
        print(f"kill {number + 1}: at {moment:.2f} s, after epoch {epochs}: {word}", flush=True)
    print(f"{options.kills - different} of {options.kills} came out the same, to the bit")
    return 1 if different else 0


def start(work: Callable[[], object]) -> int:
    """Fork a child for some work: this process has imported everything and computed nothing."""
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  a child says why and never returns
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def wait(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"a child failed with {os.waitstatus_to_exitcode(status)}")


def prepare_phantoms(dataset: Path, *, images: int) -> None:
    source = open_source(
        f"phantoms:images_per_class={images},min_images_per_patient=1,max_images_per_patient=2"
    )
    run_prepare(
        source, config=DataConfig(side_px=_SIDE_PX, common_side_px=48, workers=1), out=dataset
    )


def train(dataset: Path, run: Path, config: Config) -> None:
    run_train(open_dataset(dataset), config=config, run=RunFolder(run), resume=True)


def build_config(epochs: int) -> Config:
    return Config(
        model=ModelConfig(preset="nano", widths=(8, 16), depths=(1, 1), stochastic_depth=0.2),
        train=TrainConfig(epochs=epochs, batch_size=16, accelerator="cpu", save_minutes=0),
    )


def count_epochs(run: Path) -> int:
    history = run / "train" / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def compute_digest(run: Path) -> str:
    """Compute one sum over all that must be the same; the seconds of an epoch need not."""
    digest = hashlib.sha256()
    for name in ("checkpoint/weights", "resume/weights", "resume/state"):
        digest.update((run / "train" / f"{name}.safetensors").read_bytes())
    for line in (run / "train" / "history.csv").read_text().splitlines():
        digest.update(line.rpartition(",")[0].encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
