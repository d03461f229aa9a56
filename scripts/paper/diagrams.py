"""Two drawings made by hand: where every image went, and how the training code works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from paper.sheet import FAINT, WIDTH, draw_arrow, draw_box, finish, measure_box, write

from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.data.manifest import SPLIT_NAMES
from cxresnet.report.sections.data import DataView

_MAIN_PX, _SIDE_X = 226, 262
_SPLIT_TITLES = {"train": "training", "val": "validation", "test": "held-out test"}


def draw_exclusion_flow(dataset: PreparedDataset, view: DataView, *, evaluated: int) -> str:
    """Draw where every scanned image went, with the counts of the dataset's own record.

    Args:
        dataset: The prepared images.
        view: The same, counted for the report.
        evaluated: Images of the test split whose predictions were scored.
    """
    counts, manifest = dataset.record.images, dataset.manifest
    reasons = [f"{row.images:,} {row.code}" for row in view.rejected] or ["every file was readable"]
    unknown = f"{view.share_without_patient:.0%} without a patient ID"
    steps = [
        ([f"{counts.scanned:,} images listed", f"of {manifest['source'].nunique()} sources"], []),
        (["decoded to grey levels", "one decoder, one pipeline"],
         [f"{counts.rejected:,} rejected", *reasons]),
        (["compared with all others", "by fingerprint, then pixels"],
         [f"{counts.conflicting:,} left out", "copies with another class"]),
        ([f"{counts.kept:,} images kept", f"{view.groups:,} patients or clusters", unknown],
         [f"{view.near_duplicates:,} near-duplicates",
          f"in {view.near_duplicate_clusters:,} clusters:", "kept in one split"]),
    ]  # fmt: skip
    shapes = [write(14, 26, "Where every image went", size=15, bold=True)]
    y = 42.0
    for main, side in steps:
        shapes.append(draw_box(14, y, _MAIN_PX, main))
        if side:
            shapes.append(draw_box(_SIDE_X, y, WIDTH - _SIDE_X - 12, side, side=True))
            shapes.append(draw_arrow([(14 + _MAIN_PX, y + 22), (_SIDE_X - 1, y + 22)]))
        tall = max(measure_box(main), measure_box(side) if side else 0)
        shapes.append(draw_arrow([(127, y + measure_box(main)), (127, y + tall + 21)]))
        y += tall + 22
    shapes.append(write(14, y + 14, "Split by patient and cluster, stratified by class and source"))
    y = _draw_splits(shapes, manifest, dataset.class_names, y + 24)
    words = f"{evaluated:,} test images evaluated; every access to them is logged."
    shapes.append(write(14, y + 24, words, colour=FAINT))
    return finish(
        shapes,
        height=y + 38,
        title="Exclusion flow",
        description=f"{counts.scanned} images listed, {counts.rejected} rejected, "
        f"{counts.conflicting} left out as conflicting, {counts.kept} kept and split in three.",
    )


def _draw_splits(
    shapes: list[str], manifest: pd.DataFrame, class_names: Sequence[str], y: float
) -> float:
    """Draw one box a split, side by side; returns the lower end."""
    gap = 8.0
    width = (WIDTH - 26 - 2 * gap) / 3
    bottom = y
    for number, name in enumerate(SPLIT_NAMES):
        images = manifest[manifest["split"] == name]
        lines = [
            _SPLIT_TITLES[name],
            f"{len(images):,} images",
            f"{images['group_id'].nunique():,} patients",
            *(f"{(images['class_name'] == one).sum():,} {one}" for one in class_names),
        ]
        shapes.append(draw_box(14 + number * (width + gap), y, width, lines))
        bottom = y + measure_box(lines)
    return bottom


def draw_training_code(config: Mapping[str, Mapping[str, object]], *, networks: int) -> str:
    """Draw the path of one training through the code, with the values of this run.

    Args:
        config: Of the run, by section and key.
        networks: How many were trained in this way.
    """
    train = config.get("train", {})
    ema, monitor = train.get("ema_decay"), train.get("monitor")
    chosen = "the last epoch, no choice" if monitor == "last" else f"best {monitor}"
    augment = train.get("augment")
    kinds = len(augment) if isinstance(augment, dict) else 0
    steps: tuple[tuple[str, str, str], ...] = (
        ("Prepared dataset", "images.npy, manifest.csv", "data/dataset/"),
        ("Inputs: train and val", "the test split stays closed", "train/inputs.py"),
        ("Loader", f"{train.get('sampling')}, {train.get('batch_size')} a batch",
         "train/loaders.py"),
        ("Augmentation", f"{kinds} settings, on whole batches", "train/augmentation.py"),
        ("Network: CXResNet", "logits, one a class", "model/resnet.py"),
        ("Loss", f"cross-entropy, smoothed by {train.get('label_smoothing')}",
         "train/objective.py"),
        ("AdamW, warm-up, cosine",
         f"peak {train.get('learning_rate')}, decay {train.get('weight_decay')}",
         "train/objective.py"),
        ("Moving average", f"of the weights (EMA), {ema}", "train/module.py"),
        ("Validation", "loss and scores → history.csv", "train/history.py"),
        ("Choice of the epoch", chosen, "train/fit.py"),
        ("Checkpoint", f"safetensors + JSON; {networks} network{'s' * (networks > 1)}",
         "model/checkpoint.py"),
    )  # fmt: skip
    shapes = [write(14, 26, "One training, step by step", size=15, bold=True)]
    y = 42.0
    tops = []
    for number, (name, what, where) in enumerate(steps):
        tops.append(y)
        shapes.append(draw_box(58, y, 236, [name, what]))
        shapes.append(write(302, y + 27, where, size=11.5, colour=FAINT))
        if number + 1 < len(steps):
            shapes.append(draw_arrow([(176, y + 47), (176, y + 65)]))
        y += 66
    shapes += _draw_loop(42, tops[6] + 22, tops[2] + 22, "each batch")
    shapes += _draw_loop(20, tops[8] + 22, tops[2] + 32, f"each of {train.get('epochs')} epochs")
    return finish(
        shapes,
        height=y - 8,
        title="Diagram of the training code",
        description="From the prepared dataset through loader, augmentation, network, loss, "
        "optimizer, moving average and validation to the choice of the epoch and the checkpoint.",
    )


def _draw_loop(x: float, start: float, end: float, words: str) -> list[str]:
    """Draw an arrow back up at the left, with its name along it."""
    middle = (start + end) / 2
    text = write(0, 0, words, size=11.5, colour=FAINT, anchor="middle")
    turned = f'<g transform="translate({x - 5:g} {middle:g}) rotate(-90)">{text}</g>'
    return [draw_arrow([(58, start), (x, start), (x, end), (57, end)]), turned]
