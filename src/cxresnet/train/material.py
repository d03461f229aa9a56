"""What a training learns from and is judged by."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from cxresnet.core.errors import SplitError
from cxresnet.data.dataset import FilmSet, PreparedDataset
from cxresnet.data.preprocess import Preprocessing, complete_preprocessing, count_levels
from cxresnet.data.source_rounds import find_other_films, take_films

__all__ = ["Material", "gather_material"]

_CHOOSING_PARTS = 7


@dataclass(frozen=True)
class Material:
    """The films of one training.

    Attributes:
        train: Learned from.
        val: Choose the epoch; never learned from, never the test split.
        class_names: Order of the logits.
        preprocessing: The road of the films, with mean and sd.
        dataset_hash: Which prepared dataset.
        data_verdict: What the data betray, one sentence; "" if nobody asked.
    """

    train: FilmSet
    val: FilmSet
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    dataset_hash: str
    data_verdict: str = ""


def gather_material(
    dataset: PreparedDataset,
    *,
    fold: int | None = None,
    without_source: str | None = None,
    val_chooses: bool = True,
) -> Material:
    """Take the films of the splits, or of one round of cross-validation, or without a source.

    Args:
        dataset: A prepared dataset.
        fold: None for the splits. Else this fold is held out altogether, a share of the others
            chooses the epoch, patients and copies kept together, and the rest is learned from: a
            fold that chose the epoch would flatter it.
        without_source: Leave out every film that has to do with this source, its patients' films
            elsewhere too; mean and sd are measured on what is left.
        val_chooses: Whether validation chooses anything. Where it does not, all folds but the one
            held out are learned from, and that one only watches.

    Raises:
        DatasetError: There is no such split or fold.
        SplitError: Too few films or folds to train on.
    """
    if fold is None:
        train, val = dataset.select("train"), dataset.select("val")
    elif val_chooses:
        train, val = _take_round(dataset, fold)
    else:
        train, val = dataset.select_fold(fold, "train"), dataset.select_fold(fold, "val")
    preprocessing = dataset.preprocessing
    if without_source is not None:
        train, val = (
            take_films(films, find_other_films(dataset.manifest, without_source, of=films.manifest))
            for films in (train, val)
        )
    if len(train) < 2:
        raise SplitError(
            "One film or none is left to train on. "
            "Give more films, or prepare again with smaller shares for validation and test."
        )
    if without_source is not None:
        preprocessing = complete_preprocessing(preprocessing, count_levels(train.films))
    return Material(
        train=train,
        val=val,
        class_names=dataset.class_names,
        preprocessing=preprocessing,
        dataset_hash=dataset.dataset_hash,
        data_verdict=dataset.verdict,
    )


def _take_round(dataset: PreparedDataset, fold: int) -> tuple[FilmSet, FilmSet]:
    """Split what is not held out: one part in `_CHOOSING_PARTS` of its groups chooses the epoch."""
    others = dataset.select_fold(fold, "train")
    groups = others.manifest["group_id"].to_numpy()
    if len(np.unique(groups)) < _CHOOSING_PARTS:
        raise SplitError(
            f"Fewer than {_CHOOSING_PARTS} patients are left beside fold {fold}: none can be put "
            "aside to choose the epoch. Give more films, or take the last epoch: "
            "--set train.monitor=last."
        )
    splitter = StratifiedGroupKFold(_CHOOSING_PARTS, shuffle=True, random_state=fold)
    with warnings.catch_warnings():
        # A class with fewer films than parts is no fault here: it is learned from where it lies.
        warnings.simplefilter("ignore", UserWarning)
        _, choosing = next(iter(splitter.split(others.labels, others.labels, groups)))
    is_choosing = np.isin(np.arange(len(others.labels)), choosing)
    return take_films(others, ~is_choosing), take_films(others, is_choosing)
