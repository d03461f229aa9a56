r"""What is a recipe worth in hospitals that it has not seen? The protocol of docs/experiments.md.

    cxresnet prepare ../shared/data/multisource.csv --out DATASET --config RECIPE.toml
    cxresnet prepare ../shared/data/unknown-disease.csv --outside --out OTHER --config RECIPE.toml
    python benchmarks/unseen_sources.py DATASET --config RECIPE.toml --work FOLDER \\
        [--sets inner|outer|single|NAME+NAME,...] [--seeds 0,1,2] [--unknown OTHER] [--baselines]
    python benchmarks/unseen_summary.py DATASET --work FOLDER

Each training leaves a set of sources out, takes all others but a tenth that only watches, and
answers what it can of the sources left out: COVID-19 against normal (of two sources), pneumonia
against normal and COVID-19 against pneumonia (of one). FOLDER gets one line a training in
`results.jsonl` and its logits and features in `predictions/`; what is done is skipped, so that a
run can be cut off at any time. With `--baselines` the shortcut baselines (file, border, thumbnail,
bytes, tone, texture) learn from the same images and predict the same ones. `unseen_summary.py`
makes the tables.

The loop is the product's own network, augmentation, loss, optimiser, schedule and average without
Lightning, because one thread trains a small network here at 500 images a second and every
millisecond a batch counts; nothing chooses the epoch, the last one is taken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import texture
from cxresnet.core.config import Config, read_config
from cxresnet.core.files import write_text
from cxresnet.core.seeding import build_generator, derive_seed
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import IMAGES_NAME
from cxresnet.data.prepare.preprocessing import Preprocessing, complete_preprocessing, count_levels
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Statistic, build_mean
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.shortcuts.baseline import predict_baselines
from cxresnet.shortcuts.estimators import BASELINE_FOREST, build_random_forest
from cxresnet.shortcuts.features import compute_bytes_features, compute_scalar_features
from cxresnet.train.augmentation import apply_augmentation, sample_augmentation
from cxresnet.train.loaders import (
    compute_capped_weights,
    compute_sampling_weights,
    normalise_tensor,
)
from cxresnet.train.module import WeightAverage
from cxresnet.train.objective import (
    blend_images,
    build_optimizer,
    build_schedule,
    compute_loss,
    smooth_labels,
)

Sets = tuple[tuple[str, ...], ...]
"""Sets of sources that are left out together."""

INNER: Sets = (("hannover", "nih"), ("papers", "openist"), ("radiopaedia", "kermany"))
"""Recipes, lengths and thresholds are chosen on these."""

OUTER: Sets = (
    ("hannover", "openist"),
    ("sirm", "nih"),
    ("twitter-spain", "openist"),
    ("papers", "kermany"),
    ("radiopaedia", "nih"),
    ("cxnet-unknown", "kermany"),
)
"""Looked at once, by the final recipe."""

SINGLE: Sets = (("nih",), ("kermany",), ("radiopaedia",), ("papers",))
"""Sources of two classes, one at a time: added after the outer sets were seen, for what these leave
out more than a figure needs."""

_LEAST_IMAGES = 20
_VAL_SHARE = 0.1
_IMAGES_AT_ONCE = 128
_RESAMPLES = 2000
_NORMAL, _PNEUMONIA, _COVID = "normal", "pneumonia", "covid-19"


@dataclass(frozen=True)
class Material:
    """All images of a prepared dataset in memory.

    Attributes:
        images: (n, 1, side, side), uint8.
        labels: (n,), index into `class_names`; -1 for a disease that is none of them.
        sources: (n,).
        groups: (n,), patients with their near-duplicates.
        class_names: Order of the logits.
        preprocessing: Without mean and sd, which each training measures on its own images.
    """

    images: Tensor
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing


def gather(dataset: PreparedDataset, unknown: PreparedDataset | None) -> Material:
    """Gather the images; those of `unknown` get the label -1 and no training ever sees them."""
    parts = [(dataset, "")] + ([(unknown, "unknown ")] if unknown is not None else [])
    images = [np.load(part.path / IMAGES_NAME) for part, _ in parts]
    labels = [dataset.manifest["class_name"].map(list(dataset.class_names).index).to_numpy()]
    if unknown is not None:
        labels.append(np.full(len(unknown.manifest), -1))
    return Material(
        images=torch.from_numpy(np.concatenate(images))[:, None],
        labels=np.concatenate(labels).astype(np.int64),
        sources=np.concatenate([part.manifest["source"].to_numpy(str) for part, _ in parts]),
        groups=np.concatenate(
            [name + part.manifest["group_id"].astype(str).to_numpy(str) for part, name in parts]
        ),
        class_names=dataset.class_names,
        preprocessing=dataset.preprocessing,
    )


def divide(material: Material, left_out: tuple[str, ...]) -> dict[str, NDArray[np.intp]]:
    """Divide the images into "train", "val" and "left", by group; unknown diseases are in none."""
    known = material.labels >= 0
    left = known & np.isin(material.sources, left_out)
    rest = known & ~np.isin(material.groups, np.unique(material.groups[left]))
    names = np.unique(material.groups[known])
    watching = names[build_generator(0, "internal validation").random(len(names)) < _VAL_SHARE]
    val = rest & np.isin(material.groups, watching)
    return {
        "train": np.flatnonzero(rest & ~val),
        "val": np.flatnonzero(val),
        "left": np.flatnonzero(left),
    }


def train(
    material: Material, rows: NDArray[np.intp], *, config: Config, seed: int
) -> tuple[CXResNet, Preprocessing]:
    """Train one network on some images; returns its moving average, in evaluation mode."""
    settings = config.train
    chosen = material.images[torch.from_numpy(rows)]
    preprocessing = complete_preprocessing(material.preprocessing, count_levels(chosen.numpy()))
    labels = torch.from_numpy(material.labels)
    count = len(material.class_names)
    torch.manual_seed(derive_seed(seed, "weights"))
    network = build_model(config.model, class_count=count).to(memory_format=torch.channels_last)
    average = WeightAverage(network, decay=settings.ema_decay)
    optimizer = build_optimizer(network, settings)
    steps = settings.epochs * (len(rows) // settings.batch_size)
    share = build_schedule(
        warmup_steps=round(settings.warmup_epochs * len(rows) / settings.batch_size),
        total_steps=steps,
    )
    even = torch.ones(count)
    network.train()
    for step, batch in enumerate(_draw(material, rows, config=config, steps=steps, seed=seed)):
        generator = torch.Generator().manual_seed(derive_seed(seed, "augment", step))
        images = normalise_tensor(material.images[batch], preprocessing)
        changes = sample_augmentation(len(batch), settings.augment, generator=generator)
        images, targets = blend_images(
            apply_augmentation(images, changes),
            smooth_labels(labels[batch], class_count=count, smoothing=settings.label_smoothing),
            mixup=settings.mixup,
            cutmix=settings.cutmix,
            generator=generator,
        )
        torch.manual_seed(derive_seed(seed, "dropout", step))
        loss = compute_loss(network(images), targets, even)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share(step)
        optimizer.step()
        average.update(network)
    return cast("CXResNet", average.network).eval(), preprocessing


def _draw(
    material: Material, rows: NDArray[np.intp], *, config: Config, steps: int, seed: int
) -> Iterator[Tensor]:
    """Draw batches of images as the config samples them."""
    settings = config.train
    classes, sources = material.labels[rows].tolist(), material.sources[rows].tolist()
    weights = {
        "shuffle": lambda: np.full(len(rows), 1 / len(rows)),
        "class": lambda: compute_sampling_weights(classes),
        "class-and-source": lambda: compute_sampling_weights(
            list(zip(classes, sources, strict=True))
        ),
        "class-and-capped-source": lambda: compute_capped_weights(
            classes, sources, cap=settings.source_cap
        ),
    }[settings.sampling]()
    order = build_generator(seed, "order")
    for _ in range(steps):
        yield torch.from_numpy(rows[order.choice(len(rows), settings.batch_size, p=weights)])


@torch.no_grad()
def predict(
    network: CXResNet, images: Tensor, preprocessing: Preprocessing
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predict logits, (n, classes), and pooled features, (n, width)."""
    logits, pooled = [], []
    for part in images.split(_IMAGES_AT_ONCE):
        last_map = network.forward_features(normalise_tensor(part, preprocessing))
        logits.append(network.forward_head(last_map))
        pooled.append(network.pool(last_map).flatten(1))
    return torch.cat(logits).numpy(), torch.cat(pooled).numpy()


def measure_grain(material: Material) -> dict[str, NDArray[np.float64]]:
    """Measure what knows no place: bytes when stored again, tone, texture; (images, features)."""
    images = list(material.images[:, 0].numpy())
    return {
        "bytes": compute_bytes_features(images),
        "tone": compute_scalar_features(images),
        "texture": np.array([texture.measure(image) for image in images]),
    }


def predict_shortcuts(
    dataset: PreparedDataset,
    material: Material,
    parts: dict[str, NDArray[np.intp]],
    *,
    measures: dict[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Predict the images left out by what sees no anatomy, (images, classes) a baseline.

    All learn from the images that the network learns from, with the classes weighted equally.
    """
    images = material.images[:, 0].numpy()

    def take(rows: NDArray[np.intp]) -> ImageSet:
        manifest = dataset.manifest.iloc[rows].reset_index(drop=True)
        return ImageSet(images=images[rows], labels=material.labels[rows], manifest=manifest)

    training, left = parts["train"], parts["left"]
    count = len(material.class_names)
    found = {
        one.rule.name: one.probabilities
        for one in predict_baselines(take(training), [take(left)], class_count=count, seed=0)
        if one.probabilities is not None and one.rule.name not in {"majority", "source"}
    }
    for name, features in measures.items():
        forest = build_random_forest(BASELINE_FOREST, seed=0)
        forest.fit(features[training], material.labels[training])
        found[name] = forest.predict_proba(features[left])
    return found


def build_statistics(
    logits: NDArray[np.float64], material: Material, rows: NDArray[np.intp]
) -> list[Statistic]:
    """Build the numbers of the protocol that these images allow."""
    shares = functional.softmax(torch.from_numpy(logits), dim=1).numpy()
    number = {name: index for index, name in enumerate(material.class_names)}
    normal, pneumonia, covid = (shares[:, number[n]] for n in (_NORMAL, _PNEUMONIA, _COVID))
    labels, sources = material.labels[rows], material.sources[rows]

    def take(source: str, name: str) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (sources == source) & (labels == number[name])
        return found

    names = sorted(set(sources.tolist()))
    tasks = [
        (f"covid/normal {ill} x {well}", take(ill, _COVID), take(well, _NORMAL), covid)
        for ill, well in itertools.permutations(names, 2)
    ]
    for one in names:
        tasks += [
            (f"pneumonia/normal {one}", take(one, _PNEUMONIA), take(one, _NORMAL), 1 - normal),
            (
                f"covid/pneumonia {one}",
                take(one, _COVID),
                take(one, _PNEUMONIA),
                covid / (covid + pneumonia),
            ),
        ]
    statistics = [
        _build_auroc(name, ill, well, scores)
        for name, ill, well, scores in tasks
        if min(int(ill.sum()), int(well.sum())) >= _LEAST_IMAGES
    ]
    wrong = (shares.argmax(axis=1) != labels).astype(np.float64)
    return [*statistics, build_mean("wrong answers", wrong)]


def _build_auroc(
    name: str, ill: NDArray[np.bool_], well: NDArray[np.bool_], scores: NDArray[np.float64]
) -> Statistic:
    """Build an AUROC among some of the images; the others have no weight."""
    chosen = ill | well
    area = Auroc(positive=ill[chosen], scores=scores[chosen])
    return Statistic(
        name=name,
        compute=lambda weights: area(weights[:, chosen]),
        parts=(ill, well),
        undefined="One side has no image.",
    )


def run(
    material: Material, left_out: tuple[str, ...], *, config: Config, seed: int, work: Path
) -> str:
    """Train, predict and write one row; returns it as JSON."""
    began = time.monotonic()
    parts = divide(material, left_out)
    network, preprocessing = train(material, parts["train"], config=config, seed=seed)
    logits, features = predict(network, material.images, preprocessing)
    name = "+".join(left_out)
    folder = work / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}-{seed}.npz", logits=logits, features=features, **parts)
    rows = parts["left"]
    found = compute_estimates(
        build_statistics(logits[rows].astype(np.float64), material, rows),
        groups=material.groups[rows],
        strata=material.labels[rows],
        resamples=_RESAMPLES,
        confidence=0.95,
        generator=build_generator(0, "unseen sources"),
    )
    figures = {key: (one.value, one.low, one.high, one.n) for key, one in found.items()}
    seconds = round(time.monotonic() - began)
    return json.dumps({"left_out": name, "seed": seed, "figures": figures, "seconds": seconds})


def run_baselines(dataset: PreparedDataset, material: Material, sets: Sets, *, work: Path) -> None:
    """Write what the shortcut baselines predict, one file a set."""
    folder = work / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    measures = measure_grain(material)
    for left_out in sets:
        path = folder / f"baselines-{'+'.join(left_out)}.npz"
        if path.exists():
            continue
        parts = divide(material, left_out)
        found = predict_shortcuts(dataset, material, parts, measures=measures)
        # "file" is an argument of `savez` itself.
        np.savez(path, left=parts["left"], **{f"by {name}": found[name] for name in found})
        print(f"Wrote {path.name}", flush=True)


def main() -> None:
    """Run what is not done yet, one row after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default="inner")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--unknown", type=Path)
    parser.add_argument("--baselines", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = read_config(given.config)
    named = {"inner": INNER, "outer": OUTER, "single": SINGLE}
    sets = named.get(given.sets) or tuple(tuple(s.split("+")) for s in given.sets.split(","))
    unknown = open_dataset(given.unknown) if given.unknown else None
    dataset = open_dataset(given.dataset)
    material = gather(dataset, unknown)
    if given.baselines:
        run_baselines(dataset, gather(dataset, None), sets, work=given.work)
        return
    results = given.work / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    done = {(row["left_out"], row["seed"]) for row in map(json.loads, lines)}
    for seed, left_out in itertools.product(map(int, given.seeds.split(",")), sets):
        if ("+".join(left_out), seed) in done:
            continue
        lines.append(run(material, left_out, config=config, seed=seed, work=given.work))
        write_text(results, "\n".join(lines) + "\n")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
