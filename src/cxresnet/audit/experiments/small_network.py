"""Small networks that are trained for the audit: the same architecture on altered or fewer images.

audit/small/
  NAME-0123456789ab/train/checkpoint/   one network; the digits are of all that it depends on
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cxresnet import __version__
from cxresnet.audit.context import AuditContext
from cxresnet.audit.model import Images, Probabilities
from cxresnet.core.config import Config, ModelConfig
from cxresnet.core.config.config import change_config
from cxresnet.core.errors import CheckpointError
from cxresnet.core.progress import reporting_nothing
from cxresnet.core.run_folder import RunFolder
from cxresnet.core.seeding import derive_seed
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.prepare.preprocessing import Preprocessing, complete_preprocessing, count_levels
from cxresnet.metrics.calibration import compute_probabilities
from cxresnet.predict.predictor import Predictor, load_predictor
from cxresnet.train.fit import train_on
from cxresnet.train.inputs import TrainingInputs

_logger = logging.getLogger(__name__)

_FOR_OTHER_MODELS = ModelConfig(preset="small")
_LARGEST_BATCH = 32
_MIN_STEPS = 8
"""In an epoch: with larger batches a few epochs would be too few steps."""

_FEWEST_SEEN = 8000
"""Images that a network looks at, one counted again in every epoch: where they are few, there are
more epochs, up to `_MOST_TIMES` as many."""

_MOST_TIMES = 4

_LARGEST_ROTATION_DEGREES = 5.0
_LARGEST_MOVE = 0.03
"""Of scale and shift, as a share of the side: an image that is moved further loses its border."""


def choose_small_config(context: AuditContext, *, images: int, purpose: str) -> Config:
    """Choose how a small network is trained: as the audited one, but shorter.

    The last epoch is taken, so that nothing is chosen on any image. The last weights are taken
    instead of their average, and pairs of images are not blended: both need long trainings.
    Images are moved less, and their border is not erased: what lies there would not be seen.

    Args:
        context: Names the run's settings; for somebody else's model the preset is `small`.
        images: That are learned from.
        purpose: Of the seed.
    """
    settings = context.settings.train
    batch = max(2, min(settings.batch_size, _LARGEST_BATCH, images // _MIN_STEPS))
    epochs = choose_epochs(context.config.small_epochs, images=images)
    augment = settings.augment
    changed = change_config(
        context.settings,
        {
            "train.epochs": epochs,
            "train.monitor": "last",
            "train.patience_epochs": 0,
            "train.batch_size": batch,
            # Adam's steps grow with the root of the batch.
            "train.learning_rate": settings.learning_rate * math.sqrt(batch / settings.batch_size),
            "train.warmup_epochs": min(settings.warmup_epochs, epochs / 4),
            "train.mixup": 0.0,
            "train.cutmix": 0.0,
            "train.ema_decay": 0.0,
            "train.swa_share": 0.0,
            "train.seed": derive_seed(context.config.seed, "audit", "small", purpose),
            "train.accelerator": "auto",
            "train.devices": 1,
            "train.num_nodes": 1,
            "train.strategy": "auto",
            "train.precision": "auto",
            "train.logger": "csv",
            "train.augment": {
                "rotation_degrees": min(augment.rotation_degrees, _LARGEST_ROTATION_DEGREES),
                "scale_share": min(augment.scale_share, _LARGEST_MOVE),
                "aspect_share": min(augment.aspect_share, _LARGEST_MOVE),
                "shift_share": min(augment.shift_share, _LARGEST_MOVE),
                "border_erase_share": 0.0,
            },
        },
    )
    own = context.settings.model.model_copy(update={"members": 1})
    model = _FOR_OTHER_MODELS if context.model.predictor is None else own
    return changed.model_copy(update={"model": model})


def choose_epochs(wanted: int, *, images: int) -> int:
    """Choose the epochs of a small network.

    >>> [choose_epochs(12, images=count) for count in (5000, 660, 250, 60)]
    [12, 13, 32, 48]
    """
    return max(wanted, min(_MOST_TIMES * wanted, math.ceil(_FEWEST_SEEN / images)))


# Images for small networks.


def reduce_images(images: Images, side_px: int) -> Images:
    """Reduce images to a side, each pixel the mean of what it covers; smaller ones stay.

    Args:
        images: (images, side, side), possibly on the disk.
        side_px: At most.

    Returns:
        In memory, (images, side, side).
    """
    if images.shape[1] <= side_px:
        return np.array(images)
    reduced = np.empty((len(images), side_px, side_px), dtype=np.uint8)
    for number in range(len(images)):
        picture = Image.fromarray(np.ascontiguousarray(images[number]))
        small = picture.resize((side_px, side_px), Image.Resampling.BOX)
        reduced[number] = np.asarray(small)
    return reduced


def join_reduced(sets: Sequence[ImageSet], side_px: int) -> ImageSet:
    """Put sets under one another, in memory, reduced to a side and without their masks."""
    return ImageSet(
        images=np.concatenate([reduce_images(one.images, side_px) for one in sets]),
        labels=np.concatenate([one.labels for one in sets]),
        manifest=pd.concat([one.manifest for one in sets], ignore_index=True),
    )


def take_rows(images: ImageSet, rows: NDArray[np.intp]) -> ImageSet:
    """Take some images of a set, without their masks."""
    return ImageSet(
        images=images.images[rows],
        labels=images.labels[rows],
        manifest=images.manifest.iloc[rows].reset_index(drop=True),
    )


def measure_preprocessing(context: AuditContext, images: Images) -> Preprocessing:
    """Measure mean and sd on reduced training images, for the pipeline of the dataset."""
    pipeline = context.dataset.preprocessing.model_copy(update={"side_px": images.shape[1]})
    return complete_preprocessing(pipeline, count_levels(images))


# Training, and predicting.


def train_small_network(
    context: AuditContext,
    name: str,
    learned: ImageSet,
    *,
    preprocessing: Preprocessing,
    purpose: str,
) -> Predictor:
    """Train a small network, or load it where an earlier call trained it on the same images.

    A training that was stopped goes on where it was.

    Args:
        context: Settings, seed and folder.
        name: Of its folder.
        learned: Reduced images, (images, side, side), labels in the order of the model's classes.
        preprocessing: With mean and sd.
        purpose: Of the seed: networks that are compared share it.

    Raises:
        TrainingError: As of `run_train`.
        StorageError: The folder cannot be written.
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    config = choose_small_config(context, images=len(learned), purpose=purpose)
    inputs = TrainingInputs(
        train=learned,
        val=_choose_watched(learned),
        class_names=context.class_names,
        preprocessing=preprocessing,
        dataset_hash=_hash_images(learned),
    )
    run = RunFolder(context.folder / "small" / f"{name}-{_compute_digest(inputs, config)[:12]}")
    found = _find_trained(run, epochs=config.train.epochs)
    if found is None:
        _logger.info("Training a small network: %s", name.replace("-", " "))
        _remove_others(run, name)
        with _quiet_training():
            _train(inputs, config=config, run=run)
        _remove_leftovers(run)
        found = load_predictor(run.checkpoint)
    return found


def predict_small(predictor: Predictor, images: Images) -> Probabilities:
    """Compute the probabilities of reduced images, (images, classes)."""
    with reporting_nothing():
        return compute_probabilities(predictor.predict_images(images))


def _train(inputs: TrainingInputs, *, config: Config, run: RunFolder) -> None:
    """Train, from the last state if there is a whole one."""
    try:
        train_on(inputs, config=config, run=run, resume=True)
    except CheckpointError:
        train_on(inputs, config=config, run=run)


def _choose_watched(learned: ImageSet) -> ImageSet:
    """Choose one image a class for the numbers of each epoch, by which nothing is chosen."""
    _, first = np.unique(learned.labels, return_index=True)
    return take_rows(learned, first)


def _find_trained(run: RunFolder, *, epochs: int) -> Predictor | None:
    """Find a network that was trained to the end."""
    try:
        predictor = load_predictor(run.checkpoint)
    except CheckpointError:
        return None
    return predictor if predictor.record.metrics.get("epoch") == epochs else None


def _hash_images(images: ImageSet) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images.images).data)
    digest.update(np.ascontiguousarray(images.labels).data)
    digest.update("\x1f".join(images.manifest["source"]).encode())
    return digest.hexdigest()


def _compute_digest(inputs: TrainingInputs, config: Config) -> str:
    """Compute the SHA-256 of all that the weights depend on."""
    facts = {
        "images": inputs.dataset_hash,
        "classes": list(inputs.class_names),
        "preprocessing": inputs.preprocessing.model_dump(mode="json"),
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _remove_others(run: RunFolder, name: str) -> None:
    """Remove networks of this name that were trained on other images or in another way."""
    digits = "[0-9a-f]" * 12
    for folder in run.path.parent.glob(f"{name}-{digits}"):
        if folder != run.path:
            shutil.rmtree(folder)


def _remove_leftovers(run: RunFolder) -> None:
    """Remove what only a training that goes on needs: several times the network's size."""
    leftovers: list[Path] = [
        *run.train.glob("resume*"),
        *run.train.glob("checkpoint.*"),
    ]
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _quiet_training() -> Iterator[None]:
    """Log no line an epoch: there are many, and nobody reads them."""
    logger = logging.getLogger("cxresnet.train")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
