"""What `bench.py` measures: each function times ours and its peers, and gives rows of the table."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import cxresnet
import duplicates
import model_speed
import occlusion
import prepare
from bench_table import (
    Cost,
    Growth,
    Row,
    Size,
    cost_at_most,
    faster_at_least,
    measure_once,
    take_turns,
)
from cxresnet.core.config import ModelConfig
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.config.train import AugmentConfig
from cxresnet.data.duplicates import find_clusters
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.model.presets import build_model
from cxresnet.model.summary import compute_totals, summarise_model
from cxresnet.predict.predictions import Predictions
from cxresnet.train.augmentation import apply_augmentation, sample_augmentation
from cxresnet.train.loaders import EpochSampler, build_loader


def draw_images(folder: Path, *, count: int, side_px: int) -> list[Path]:
    """Draw images as PNG files, unless they are there."""
    place = folder / f"{count}-of-{side_px}-px"
    if not place.exists():
        prepare.write_images(place / "images", count=count, side_px=side_px, kinds=["png"])
    return sorted(place.rglob("*.png"))


# The commands, cold: a process for each.


def measure_commands(size: Size, folder: Path) -> Iterator[Row]:
    (image,) = draw_images(folder, count=1, side_px=size.image_side_px)
    ours = [sys.executable, "-m", "cxresnet"]
    commands = {
        "pass": [sys.executable, "-c", "pass"],
        "torch": [sys.executable, "-c", "import torch"],
        "help": [*ours, "--help"],
        "path": [*ours, "predict", str(folder / "nowhere.png")],
        "predict": [*ours, "predict", "--format", "csv", str(image)],
    }
    tasks = {name: functools.partial(run_command, words) for name, words in commands.items()}
    found = take_turns(tasks, turns=size.turns)
    for name, title, limit in (
        ("help", "`cxresnet --help`", 0.35),
        ("path", "`cxresnet predict nowhere.png`, the file is not there", 0.5),
    ):
        cost = found[name]
        spent = cost.processor_s if name == "help" else cost.clock_s
        must = f"≤ {limit} s of the {'processor' if name == 'help' else 'clock'}"
        peer = found["pass"]
        yield Row(title, "`python -c pass`", cost, peer, cost.divide(peer), must, spent <= limit)
        yield cost_at_most(title, '`python -c "import torch"`', cost, found["torch"])
    yield cost_at_most(
        "`cxresnet predict` of one PNG, cold",
        '`python -c "import torch"`',
        found["predict"],
        found["torch"],
        1.4,
    )


def run_command(words: Sequence[str]) -> None:
    """Run a command in a process of its own; one that refuses its input counts as well."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if "Traceback" in done.stderr or (done.returncode and "nowhere" not in words[-1]):
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")


# From files to prepared images.


class PillowImages(Dataset[torch.Tensor]):
    """What one writes by hand: decode with Pillow, and resize."""

    def __init__(self, paths: Sequence[Path], side_px: int) -> None:
        self.paths, self.side_px = list(paths), side_px

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.paths[row]) as image:
            small = image.convert("L").resize((self.side_px, self.side_px))
        return torch.from_numpy(np.array(small))


def measure_prepare(size: Size, folder: Path) -> Iterator[Row]:
    paths = draw_images(folder, count=size.images, side_px=size.image_side_px)
    root, workers = paths[0].parents[2], os.cpu_count() or 1
    side = 224
    pillow = PillowImages(paths, side)

    def load() -> None:
        for _ in DataLoader(pillow, batch_size=32, num_workers=2):
            pass

    here = take_turns(
        {
            "road": lambda: [prepare.decode_on_the_road(path) for path in paths],
            "pillow": lambda: [pillow[row] for row in range(len(pillow))],
            "loader": load,
        },
        turns=size.turns,
    )
    what = f"{size.images:,} PNG of {size.image_side_px} px"
    yield cost_at_most(
        f"decode and prepare {what} in one process", "loop of Pillow", here["road"], here["pillow"]
    )
    yield cost_at_most(
        f"decode and prepare {what} in one process",
        "Pillow in a DataLoader, 2 workers",
        here["road"],
        here["loader"],
    )
    whole = measure_apart(functools.partial(prepare.prepare, workers), root)
    road = measure_apart(
        functools.partial(prepare.decode_all, prepare.decode_on_the_road, workers), root
    )
    title = f"`prepare` {what}, {workers} workers, with copies, split and files"
    yield cost_at_most(title, "loop that decodes and takes the same way", whole, road, 1.2)
    yield faster_at_least(title, "Pillow in a DataLoader, 2 workers", whole, here["loader"])


def measure_apart(work: Callable[[Path], None], root: Path) -> Cost:
    found = prepare.measure_apart(work, root)
    return Cost(found.clock_s, found.processor_s)


# The network: training.


def measure_training(size: Size, folder: Path) -> Iterator[Row]:  # noqa: ARG001
    ours = build_model(ModelConfig(preset=size.preset), class_count=model_speed.CLASS_COUNT)
    theirs = model_speed.build_reference(ours)
    images = torch.randn(16, 1, size.side_px, size.side_px)
    pair = [one.to(memory_format=torch.channels_last) for one in (ours, theirs)]
    images = images.to(memory_format=torch.channels_last)
    steps = [model_speed.build_training_step(one, images) for one in pair]
    for step in steps:
        step()
    found = take_turns({"ours": steps[0], "theirs": steps[1]}, turns=2 * size.turns + 1)
    work = [
        compute_totals(summarise_model(one, side_px=size.side_px)).multiply_adds for one in pair
    ]
    # The standard network with as many multiply-adds takes this much longer or shorter.
    share = work[0] / work[1]
    equal = Cost(found["theirs"].clock_s * share, found["theirs"].processor_s * share)
    yield faster_at_least(
        f"training step of `{size.preset}`, {size.side_px} px, batch 16",
        f"standard ResNet, scaled to equal multiply-adds (× {share:.2f})",
        found["ours"],
        equal,
        1.0,
    )
    yield measure_input(size, found["ours"])


def measure_input(size: Size, step: Cost) -> Row:
    """Measure how much of an epoch goes into loading, normalising and augmenting."""
    count, batch = 512, 16
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, size.side_px, size.side_px), dtype=np.uint8
    )
    images = SimpleNamespace(images=pixels, labels=np.zeros(count, dtype=np.int64))
    generator = torch.Generator().manual_seed(0)

    def load(*, augment: bool) -> None:
        sampler = EpochSampler(count, batch_size=batch, seed=0)
        for loaded in build_loader(images, sampler=sampler):
            inputs = loaded.images.float() / 255
            if augment:
                chosen = sample_augmentation(len(inputs), AugmentConfig(), generator=generator)
                apply_augmentation(inputs, chosen)

    found = take_turns(
        {"load": lambda: load(augment=False), "all": lambda: load(augment=True)}, turns=size.turns
    )
    batches = count // batch
    epoch = Cost(step.clock_s * batches, step.processor_s * batches)
    share, whole = (
        found[name].clock_s / (found[name].clock_s + epoch.clock_s) for name in ("load", "all")
    )
    return Row(
        f"training epoch: share of loading ({whole:.1%} with augmentation)",
        "forward and backward on a fixed batch",
        found["load"],
        epoch,
        f"{share:.1%}",
        "≤ 5 %",
        share <= 0.05,
    )


# The network: explanations and predictions.


def measure_occlusion(size: Size, folder: Path) -> Iterator[Row]:  # noqa: ARG001
    image = occlusion.build_image(size.side_px)
    options = Namespace(
        window=size.window_px, stride=size.stride_px, batches=",".join(map(str, size.batches))
    )
    default, *batched, ours, _ = occlusion.build_ways(
        occlusion.build_network(image, size.preset), image, options
    )
    tasks = {way.name: way.take_turn for way in (default, *batched, ours)}
    found = take_turns(tasks, turns=size.turns)
    best = min((way.name for way in batched), key=lambda name: found[name].clock_s)
    if ours.answer is None or default.answer is None:
        raise RuntimeError("occlusion gave no answer")
    difference = float((ours.answer - default.answer).abs().max())
    question = (
        f"occlusion {size.side_px}/{size.window_px}/{size.stride_px}, `{size.preset}`, one image "
        f"(largest difference {difference:.0e})"
    )
    yield faster_at_least(question, default.name, found[ours.name], found[default.name], 5)
    yield faster_at_least(question, f"{best}: its best", found[ours.name], found[best], 2)


def measure_prediction(size: Size, folder: Path) -> Iterator[Row]:  # noqa: ARG001
    predictor = cxresnet.load().predictor
    side = predictor.preprocessing.side_px
    images = np.random.default_rng(0).integers(0, 256, (size.predicted, side, side), dtype=np.uint8)

    def ask_pytorch() -> None:
        with torch.inference_mode():
            for first in range(0, len(images), 32):
                predictor.model(predictor.to_tensor(images[first : first + 32]))

    found = take_turns(
        {"ours": lambda: predictor.predict_images(images), "theirs": ask_pytorch}, turns=size.turns
    )
    question = f"predict {size.predicted:,} prepared images of {side} px, bundled network"
    yield faster_at_least(question, "eager PyTorch, batch 32", found["ours"], found["theirs"], 1.5)


def measure_files(size: Size, folder: Path) -> Iterator[Row]:
    paths = draw_images(folder, count=size.large, side_px=size.large_side_px)
    model = cxresnet.load()

    def decode() -> None:
        for path in paths:
            prepare.decode_with_pillow(path)

    found = take_turns(
        {"ours": lambda: list(model.predict_each(paths)), "theirs": decode},
        turns=min(2, size.turns),
    )
    each = found["ours"].processor_s / len(paths)
    question = (
        f"predict {len(paths)} PNG of {size.large_side_px:,} px: {each:.2f} s of the processor each"
    )
    yield cost_at_most(question, "Pillow decodes them", found["ours"], found["theirs"], 1.5)


# How the work grows.


def measure_duplicates(size: Size, folder: Path) -> Iterator[Row | Growth]:  # noqa: ARG001
    known = duplicates.draw_drawn_fingerprints(1_500 if size.turns > 1 else 150)
    costs = []
    for count in size.counts:
        images = duplicates.sample_fingerprints(known, count, np.random.default_rng(0))
        costs.append(measure_once(functools.partial(find_clusters, images)))
        limit = 20.0 if count == 100_000 else None
        yield Row(
            f"near-duplicates among {count:,} images",
            "–",
            costs[-1],
            None,
            "–",
            "–" if limit is None else f"≤ {limit:.0f} s",
            None if limit is None else costs[-1].clock_s <= limit,
        )
    yield Growth("near-duplicates", size.counts, tuple(costs))


def measure_growth(size: Size, folder: Path) -> Iterator[Growth]:
    """Measure `prepare` and the evaluation of predictions; nothing where no numbers are named."""
    if not size.growth:
        return
    prepared, evaluated = [], []
    for count in size.growth:
        root = draw_images(folder, count=count, side_px=128)[0].parents[2]
        prepared.append(
            measure_apart(functools.partial(prepare.prepare, os.cpu_count() or 1), root)
        )
        predictions = draw_predictions(count)
        evaluate = functools.partial(evaluate_predictions, predictions, config=EvaluateConfig())
        evaluated.append(measure_once(evaluate))
    yield Growth("`prepare`", size.growth, tuple(prepared))
    yield Growth("`evaluate`", size.growth, tuple(evaluated))


def draw_predictions(count: int) -> Predictions:
    """Draw logits of a network that is right in most cases; two images a patient."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, count)
    logits: NDArray[np.float32] = generator.normal(size=(count, 3)).astype(np.float32)
    logits[np.arange(count), truth] += 1.5
    patients = tuple(f"p{row // 2}" for row in range(count))
    return Predictions(
        image_ids=tuple(f"i{row}" for row in range(count)),
        patient_ids=patients,
        group_ids=patients,
        sources=("drawn",) * count,
        truth=truth,
        logits=logits,
        class_names=("normal", "pneumonia", "covid-19"),
    )


def start(threads: int) -> None:
    """Bring the random numbers to the same state before each measure, and set the threads."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)


MEASURES: dict[str, Callable[[Size, Path], Iterator[Row | Growth]]] = {
    "commands": measure_commands,
    "prepare": measure_prepare,
    "training": measure_training,
    "occlusion": measure_occlusion,
    "prediction": measure_prediction,
    "files": measure_files,
    "duplicates": measure_duplicates,
    "growth": measure_growth,
}
"""In the order of the table."""
