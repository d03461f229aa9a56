r"""Which changes of the recipe help on sources that it has not seen? A screening of known ideas.

    cxresnet prepare ../shared/data/multisource.csv --out DATASET --config multisource
    python benchmarks/unseen_variants.py DATASET --work FOLDER --variants base,randconv,ssl+swap \\
        [--sets inner|outer|single|NAME+NAME,...] [--seeds 0,1,2] \\
        [--without SOURCE,...] [--covid-sources K]

Time: about 25 seconds a training on one core; consistency and gradlungs take twice, ssl three times
and ssl-long ten times as long. Variants with lung masks first find the lungs on all images, once,
which takes 40 ms an image.

The sets of sources left out and the scores are those of `unseen_sources.py`. FOLDER gets one line a
training in `variants.jsonl`; what is done is skipped, so that a run can be cut off at any time. At
the end comes a table: mean ± standard deviation over the seeds; "mean" is that of the tasks (of
each the mean over its sets), "inside" the macro AUROC on a tenth of the sources that were learned.

"base" is `--config multisource` with three differences that make trainings comparable whatever is
left out: each takes 20,000 images, the warm-up is a twentieth of it, and there is no dropout. The
logits of an image and of its mirror image are averaged. The ideas are in `unseen_changes.py`; names
joined by "+" are used together:

    of the recipe        geo (wider geometry), group (group norm), px64, px96 (side; needs a DATASET
                         of such a side), vblur (all images blurred downwards)
    of training images   lesion, paste, swap (by lung masks); fourier, rrc (random crops), warp,
                         randconv, tone, machine
    of the network       ibn, ibn-deep (in the stem; in the first stage, too), mixstyle
    of the weights       ssl, ssl-long (SimCLR on the training images before)
    of the loss          dro, vrex, coral, adversary, consistency, gradlungs

`--without` leaves sources out of training altogether; `--covid-sources K` keeps the COVID-19 images
of K sources only, which each seed draws anew.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

import unseen_changes as changes
import unseen_sources as protocol
from cxresnet.core.config import Config, change_config, read_config
from cxresnet.core.files import write_text
from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.prepare.preprocessing import Preprocessing, complete_preprocessing, count_levels
from cxresnet.metrics.ranking import Auroc
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.predict.lungs import load_lung_finder
from cxresnet.train.loaders import compute_capped_weights, normalise_tensor
from cxresnet.train.module import WeightAverage
from cxresnet.train.objective import build_optimizer, build_schedule, smooth_labels
from unseen_changes import Batch

_RECIPE = Path("multisource")
_TASKS = ("covid/normal", "pneumonia/normal", "covid/pneumonia")
_PASSES, _WARMUP_SHARE, _RAMP_SHARE = 20_000, 0.05, 0.3

_CONFIG: dict[str, Mapping[str, object]] = {
    "geo": {"train.augment": {"scale_share": 0.3, "rotation_degrees": 15, "shift_share": 0.1}},
    "group": {"model.norm": "group"},
    "px64": {"data.side_px": 64},
    "px96": {"data.side_px": 96},
}
_BLUR_DOWNWARDS = {"vblur": 2.0}
_PRETRAINING = {"ssl": 40_000, "ssl-long": 160_000}
_NAMES = frozenset({"base"}).union(
    _CONFIG,
    _BLUR_DOWNWARDS,
    _PRETRAINING,
    changes.BEFORE_AUGMENTATION,
    changes.AFTER_AUGMENTATION,
    changes.NETWORK,
    changes.LOSS,
)

_Value = TypeVar("_Value")


def pick(known: Mapping[str, _Value], names: frozenset[str]) -> list[_Value]:
    """Pick what is named, in the order of the dictionary."""
    return [value for name, value in known.items() if name in names]


@dataclass(frozen=True)
class LungMaterial(protocol.Material):
    """All images as a variant has them, and where their lungs are.

    Attributes:
        lungs: (n, 1, side, side), uint8, 255 inside; 0 where the lungs were refused or not needed.
    """

    lungs: Tensor


def find_lungs(
    dataset: PreparedDataset, material: protocol.Material, *, work: Path
) -> NDArray[np.uint8]:
    """Find the lungs on all images, a pixel wider for their edge, or read what was found."""
    path = work / f"lungs-{dataset.dataset_hash[:12]}.npy"
    if not path.exists():
        print(f"Finding the lungs on {len(material.images)} images for {path} …", flush=True)
        found = load_lung_finder().find_all(material.images[:, 0].numpy())
        np.save(path, np.stack([ndimage.grey_dilation(one.mask, size=3) for one in found]))
    lungs: NDArray[np.uint8] = np.load(path)
    return lungs


def configure(names: frozenset[str]) -> Config:
    """Read the recipe, and change what the variants change of it."""
    changed: dict[str, object] = {"model.dropout": 0.0}
    for values in pick(_CONFIG, names):
        changed |= values
    return change_config(read_config(_RECIPE), changed)


def adapt(dataset: PreparedDataset, names: frozenset[str], *, work: Path) -> LungMaterial:
    """Gather the images as the variants need them: their side, their lungs."""
    side_px = configure(names).data.side_px
    material = protocol.gather(dataset, None)
    lungs = torch.zeros_like(material.images)
    if names & changes.WITH_LUNGS:
        lungs = torch.from_numpy(find_lungs(dataset, material, work=work))[:, None]
    images = shrink(material.images, side_px)
    for sigma in pick(_BLUR_DOWNWARDS, names):
        blurred = ndimage.gaussian_filter1d(images.numpy().astype(np.float32), sigma, axis=2)
        images = torch.from_numpy(np.rint(blurred).astype(np.uint8))
    return LungMaterial(**vars(material) | {"images": images, "lungs": shrink(lungs, side_px)})


def shrink(images: Tensor, side_px: int) -> Tensor:
    """Shrink square images, uint8, to a side."""
    size = (side_px, side_px)
    small = functional.interpolate(images.float(), size, mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Limits:
    """Which sources a training does without, besides those left out to be tested on.

    Attributes:
        without: Sources whose images are not learned from.
        covid_sources: So many sources keep their COVID-19 images; None keeps all.
    """

    without: Sequence[str]
    covid_sources: int | None

    def describe(self) -> str:
        """Describe the limits for the table, as on the command line; "" if there are none."""
        text = f" --without {','.join(self.without)}" if self.without else ""
        kept = self.covid_sources
        return text if kept is None else f"{text} --covid-sources {kept}"

    def apply(
        self, material: protocol.Material, rows: NDArray[np.intp], *, seed: int
    ) -> NDArray[np.intp]:
        """Choose among training images; each seed keeps other sources of COVID-19."""
        rows = rows[~np.isin(material.sources[rows], self.without)]
        ill, sources = material.labels[rows] == changes.COVID, material.sources[rows]
        order = build_generator(seed, "covid sources").permutation(np.unique(sources[ill]))
        chosen: NDArray[np.intp] = rows[~ill | np.isin(sources, order[: self.covid_sources])]
        return chosen


@dataclass(frozen=True)
class Course:
    """What one training learns from.

    Attributes:
        names: The variants that are used together.
        config: The recipe, with what the variants change of it.
        seed: Of weights, order and changes.
        material: All images.
        rows: Those to learn from.
        preprocessing: With mean and sd of these.
        generator: Source of all changes; each step seeds it anew.
    """

    names: frozenset[str]
    config: Config
    seed: int
    material: LungMaterial
    rows: NDArray[np.intp]
    preprocessing: Preprocessing
    generator: torch.Generator

    def draw_rows(self) -> Iterator[Tensor]:
        """Draw the rows of batch after batch, without end, as the recipe samples them."""
        labels, sources = self.material.labels[self.rows], self.material.sources[self.rows]
        cap, size = self.config.train.source_cap, self.config.train.batch_size
        weights = compute_capped_weights(labels.tolist(), sources.tolist(), cap=cap)
        order = build_generator(self.seed, "order")
        while True:
            yield torch.from_numpy(self.rows[order.choice(len(self.rows), size, p=weights)])

    def number_groups(self) -> changes.Groups:
        """Number the pairs of class and source that are learned from."""
        keys = list(zip(self.material.labels.tolist(), self.material.sources, strict=True))
        names = sorted({keys[row] for row in self.rows})
        return changes.Groups(
            numbers=torch.tensor([names.index(key) if key in names else -1 for key in keys]),
            classes=torch.tensor([label for label, _ in names]),
            weights=torch.full((len(names),), 1 / len(names)),
        )

    def take(self, rows: Tensor, *purpose: object) -> Batch:
        """Take images, and seed their changes for a purpose."""
        self.generator.manual_seed(derive_seed(self.seed, *purpose))
        labels = torch.from_numpy(self.material.labels)[rows]
        return Batch(
            images=normalise_tensor(self.material.images[rows], self.preprocessing),
            lungs=self.material.lungs[rows] / 255,
            labels=labels,
            targets=smooth_labels(
                labels,
                class_count=len(changes.CLASS_NAMES),
                smoothing=self.config.train.label_smoothing,
            ),
        )

    def vary(self, batch: Batch) -> Batch:
        """Change images at random."""
        steps: list[changes.Change] = [
            *pick(changes.BEFORE_AUGMENTATION, self.names),
            partial(changes.augment, config=self.config.train.augment),
            *pick(changes.AFTER_AUGMENTATION, self.names),
        ]
        for change in steps:
            batch = change(batch, self.generator)
        return batch


def build_learning(
    network: CXResNet,
    head: nn.Module,
    course: Course,
    *,
    warmup_steps: int,
    steps: int,
    clip: float,
) -> Callable[[Tensor, int], None]:
    """Build what takes a step down a loss, with gradients of the network no longer than `clip`."""
    optimizer = build_optimizer(nn.ModuleList([network, head]), course.config.train)
    share = build_schedule(warmup_steps=warmup_steps, total_steps=steps)

    def learn(loss: Tensor, step: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), clip)
        for group in optimizer.param_groups:
            group["lr"] = course.config.train.learning_rate * share(step)
        optimizer.step()

    return learn


def pretrain(network: CXResNet, course: Course, batches: Iterator[Tensor], *, passes: int) -> None:
    """Learn to find the other view of each image among all views (SimCLR, Chen 2020)."""
    steps = passes // course.config.train.batch_size
    head = nn.Sequential(nn.Linear(network.head.in_features, 128), nn.ReLU(), nn.Linear(128, 64))
    learn = build_learning(
        network, head, course, warmup_steps=steps // 20 + 1, steps=steps, clip=math.inf
    )
    for step, rows in enumerate(itertools.islice(batches, steps)):
        batch = course.take(rows, "ssl", step)
        views = torch.cat([course.vary(batch).images for _ in range(2)])
        codes = functional.normalize(
            head(network.pool(network.forward_features(views)).flatten(1)), dim=1
        )
        likeness = (codes @ codes.T / 0.2).fill_diagonal_(-math.inf)
        twins = torch.arange(len(codes)).roll(len(rows))
        learn(functional.cross_entropy(likeness, twins), step)


def train(course: Course) -> CXResNet:
    """Train one network; returns its moving average, in evaluation mode."""
    settings = course.config.train
    torch.manual_seed(derive_seed(course.seed, "weights"))
    network = build_model(course.config.model, class_count=len(changes.CLASS_NAMES))
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for change in pick(changes.NETWORK, course.names):
        change(network, course.generator)
    batches = course.draw_rows()
    for passes in pick(_PRETRAINING, course.names):
        pretrain(network, course, batches, passes=passes)
    groups = course.number_groups()
    head = changes.build_source_head(network.head.in_features, groups)
    steps = _PASSES // settings.batch_size
    warmup_steps = round(_WARMUP_SHARE * steps)
    learn = build_learning(
        network, head, course, warmup_steps=warmup_steps, steps=steps, clip=settings.gradient_clip
    )
    average = WeightAverage(network, decay=settings.ema_decay)

    def answer(taken: Batch) -> changes.Answer:
        batch = course.vary(taken)
        batch.images.requires_grad_("gradlungs" in course.names)
        pooled = network.pool(network.forward_features(batch.images)).flatten(1)
        return changes.Answer(batch, pooled, network.head(pooled))

    for step, rows in enumerate(itertools.islice(batches, steps)):
        taken = course.take(rows, "augment", step)
        lesson = changes.Step(
            answer=answer(taken),
            numbers=groups.numbers[rows],
            groups=groups,
            source_head=head,
            ramp=min(1, step / (_RAMP_SHARE * steps)),
            answer_again=partial(answer, taken),
        )
        penalties = [penalise(lesson) for penalise in pick(changes.LOSS, course.names)]
        learn(sum(penalties, lesson.answer.losses.mean()), step)
        average.update(network)
    return cast("CXResNet", average.network).eval()


def measure(
    network: CXResNet, course: Course, parts: Mapping[str, NDArray[np.intp]]
) -> dict[str, float]:
    """Measure the tasks on the sources left out, and the macro AUROC "inside"."""
    material = course.material

    def answer(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        images = material.images[torch.from_numpy(rows)]
        sides = (images, images.flip(3))
        logits = [protocol.predict(network, one, course.preprocessing)[0] for one in sides]
        mean: NDArray[np.float64] = np.mean(logits, axis=0, dtype=np.float64)
        return mean

    rows, val = parts["left"], parts["val"]
    figures = {
        str(one.name): float(one.compute(np.ones((1, len(rows))))[0])
        for one in protocol.build_statistics(answer(rows), material, rows)
    }
    shares = functional.softmax(torch.from_numpy(answer(val)), dim=1).numpy()
    areas = [
        Auroc(positive=material.labels[val] == one, scores=shares[:, one])(np.ones((1, len(val))))
        for one in range(len(changes.CLASS_NAMES))
    ]
    return figures | {"inside": float(np.mean(areas))}


def run(
    material: LungMaterial,
    left_out: tuple[str, ...],
    *,
    names: frozenset[str],
    limits: Limits,
    seed: int,
) -> dict[str, float]:
    """Train and measure one variant on one set with one seed."""
    parts = protocol.divide(material, left_out)
    rows = limits.apply(material, parts["train"], seed=seed)
    levels = count_levels(material.images[torch.from_numpy(rows)].numpy())
    course = Course(
        names=names,
        config=configure(names),
        seed=seed,
        material=material,
        rows=rows,
        preprocessing=complete_preprocessing(material.preprocessing, levels),
        generator=torch.Generator(),
    )
    return measure(train(course), course, parts)


def summarise(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Put the figures of all sets of one seed in one row; adds the mean over the tasks."""
    tasks = defaultdict(list)
    row = {}
    for left_out, one in figures.items():
        for name, value in one.items():
            task = name.split(" ")[0]
            tasks[task].append(value)
            if task in _TASKS:
                row[f"{name} [{left_out}]"] = value
    row["mean"] = statistics.fmean(statistics.fmean(tasks[task]) for task in _TASKS if tasks[task])
    return row | {"inside": statistics.fmean(tasks["inside"])}


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print mean ± standard deviation over the seeds, variants down and tasks across."""
    groups = pd.DataFrame(rows).groupby("variant", sort=False)
    means, deviations = groups.mean().map("{:.3f}".format), groups.std(ddof=0).map("{:.3f}".format)
    table = (means + " ± " + deviations).reset_index()
    print(f"| {' | '.join(map(str, table.columns))} |\n{'|---' * len(table.columns)}|")
    for texts in table.itertuples(index=False):
        print(f"| {' | '.join(texts)} |")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--variants", required=True)
    parser.add_argument("--sets", default="inner")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--without", default="")
    parser.add_argument("--covid-sources", type=int)
    given = parser.parse_args()
    if lost := set(given.variants.replace("+", ",").split(",")) - _NAMES:
        parser.error(f"no variant is named '{min(lost)}'; known are {', '.join(sorted(_NAMES))}")
    return given


def check(dataset: PreparedDataset, *, sources: Iterable[str], side_px: int) -> None:
    """Stop with a message if the dataset does not hold what is asked of it."""
    where, there_px = f"'{dataset.path}'", dataset.preprocessing.side_px
    if dataset.class_names != changes.CLASS_NAMES:
        sys.exit(f"{where} must have the classes {', '.join(changes.CLASS_NAMES)}, in this order.")
    if lost := set(sources).difference(dataset.manifest["source"]):
        sys.exit(f"{where} has no source '{min(lost)}'. Name only sources that it has.")
    if side_px > there_px:
        sys.exit(
            f"{where} holds images of {there_px} px, a variant needs {side_px}. Prepare it with "
            f"--set data.side_px={side_px} --set data.common_side_px={side_px * 3 // 2}."
        )


def main() -> None:
    """Run what is not done yet, one training after the other, and print the table."""
    given = read_arguments()
    torch.set_num_threads(1)
    dataset = open_dataset(given.dataset)
    named = {"inner": protocol.INNER, "outer": protocol.OUTER, "single": protocol.SINGLE}
    sets = named.get(given.sets) or tuple(tuple(s.split("+")) for s in given.sets.split(","))
    limits = Limits([one for one in given.without.split(",") if one], given.covid_sources)
    seeds = [int(one) for one in given.seeds.split(",")]
    variants = {one: frozenset(one.split("+")) for one in given.variants.split(",")}
    side_px = max(configure(names).data.side_px for names in variants.values())
    check(dataset, sources=[*limits.without, *itertools.chain(*sets)], side_px=side_px)
    given.work.mkdir(parents=True, exist_ok=True)
    results = given.work / "variants.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    read = map(json.loads, lines)
    done = {(row["variant"], row["left_out"], row["seed"]): row["figures"] for row in read}
    for variant, seed, left_out in itertools.product(variants, seeds, sets):
        key = (variant + limits.describe(), "+".join(left_out), seed)
        if key in done:
            continue
        began, names = time.monotonic(), variants[variant]
        material = adapt(dataset, names, work=given.work)
        done[key] = run(material, left_out, names=names, limits=limits, seed=seed)
        row = dict(zip(("variant", "left_out", "seed"), key, strict=True))
        row |= {"figures": done[key], "seconds": round(time.monotonic() - began)}
        lines.append(json.dumps(row))
        write_text(results, "\n".join(lines) + "\n")
        print(lines[-1], flush=True)
    labels = [variant + limits.describe() for variant in variants]
    print_table(
        [
            {"variant": label}
            | summarise({one: done[label, one, seed] for one in map("+".join, sets)})
            for label, seed in itertools.product(labels, seeds)
        ]
    )


if __name__ == "__main__":
    main()
