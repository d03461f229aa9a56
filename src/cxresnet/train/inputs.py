"""The inputs of a training: images to learn from and images to validate on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from cxresnet import __version__
from cxresnet.core.config import Config
from cxresnet.core.errors import SplitError
from cxresnet.data.dataset.dataset import ImageSet, PreparedDataset
from cxresnet.data.prepare.preprocessing import Preprocessing, complete_preprocessing, count_levels
from cxresnet.data.split.source_folds import find_other_images, take_images

_CHOOSING_PARTS = 7


@dataclass(frozen=True)
class TrainingInputs:
    """The images of one training.

    Attributes:
        train: Learned from.
        val: Choose the epoch; never learned from, never the test split.
        class_names: Order of the logits.
        preprocessing: The pipeline of the images, with mean and sd.
        dataset_hash: Which prepared dataset.
        data_verdict: What predicts the class according to the audit; "" if there is none.
    """

    train: ImageSet
    val: ImageSet
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    dataset_hash: str
    data_verdict: str = ""


def gather_training_inputs(
    dataset: PreparedDataset,
    *,
    fold: int | None = None,
    without_sources: Sequence[str] = (),
    val_chooses: bool = True,
) -> TrainingInputs:
    """Take the images of the splits, or of one round of cross-validation, or without some sources.

    Args:
        dataset: A prepared dataset.
        fold: None for the splits. Else this fold is held out altogether, a share of the others
            chooses the epoch, patients and copies kept together, and the rest is learned from: a
            fold that chose the epoch would flatter it.
        without_sources: Leave out every image that has to do with these sources, their patients'
            images elsewhere too; mean and sd are measured on what is left.
        val_chooses: Whether validation chooses anything. Where it does not, all folds but the one
            held out are learned from, and that one only watches.

    Raises:
        DatasetError: There is no such split or fold.
        SplitError: Too few images or folds to train on.
    """
    if fold is None:
        train, val = dataset.select("train"), dataset.select("val")
    elif val_chooses:
        train, val = _take_round(dataset, fold)
    else:
        train, val = dataset.select_fold(fold, "train"), dataset.select_fold(fold, "val")
    preprocessing = dataset.preprocessing
    if without_sources:
        train, val = (
            take_images(
                images, find_other_images(dataset.manifest, without_sources, of=images.manifest)
            )
            for images in (train, val)
        )
    if len(train) < 2:
        raise SplitError(
            "At most one image is left to train on. "
            "Add images, or prepare again with smaller shares for validation and test."
        )
    if without_sources:
        preprocessing = complete_preprocessing(preprocessing, count_levels(train.images))
    return TrainingInputs(
        train=train,
        val=val,
        class_names=dataset.class_names,
        preprocessing=preprocessing,
        dataset_hash=dataset.dataset_hash,
        data_verdict=dataset.verdict,
    )


def _take_round(dataset: PreparedDataset, fold: int) -> tuple[ImageSet, ImageSet]:
    """Split what is not held out: one part in `_CHOOSING_PARTS` of its groups chooses the epoch."""
    others = dataset.select_fold(fold, "train")
    groups = others.manifest["group_id"].to_numpy()
    if len(np.unique(groups)) < _CHOOSING_PARTS:
        raise SplitError(
            f"Fewer than {_CHOOSING_PARTS} patients are left beside fold {fold}: none can be put "
            "aside to choose the epoch. Give more images, or take the last epoch: "
            "--set train.monitor=last."
        )
    splitter = StratifiedGroupKFold(_CHOOSING_PARTS, shuffle=True, random_state=fold)
    with warnings.catch_warnings():
        # A class with fewer images than parts is allowed here: it is learned from where it is.
        warnings.simplefilter("ignore", UserWarning)
        _, choosing = next(iter(splitter.split(others.labels, others.labels, groups)))
    is_choosing = np.isin(np.arange(len(others.labels)), choosing)
    return take_images(others, ~is_choosing), take_images(others, is_choosing)


# The identity of a training: only an identical one may resume from its state.


def describe_identity(inputs: TrainingInputs, *, config: Config) -> dict[str, Any]:
    """Describe a training by everything that its weights depend on, as JSON."""
    return {
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude={"logger"}),
        "dataset_hash": inputs.dataset_hash,
        "class_names": list(inputs.class_names),
        "train_images": len(inputs.train),
        "val_images": len(inputs.val),
        "cxresnet": __version__,
        "torch": str(torch.__version__),
    }


def find_difference(before: Any, now: Any, *, name: str = "") -> str:
    """Find the first difference of two descriptions.

    Returns:
        For example "train.epochs was 30 and is 40"; "" where there is none.

    >>> find_difference({"train": {"epochs": 30}}, {"train": {"epochs": 40}})
    'train.epochs was 30 and is 40'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else str(key)
            found = find_difference(before.get(key), now.get(key), name=inner)
            if found:
                return found
        return ""
    return "" if before == now else f"{name} was {before} and is {now}"
