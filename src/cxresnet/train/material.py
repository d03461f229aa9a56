"""What a training learns from and is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.core.errors import SplitError
from cxresnet.data.dataset import FilmSet, PreparedDataset
from cxresnet.data.preprocess import Preprocessing, complete_preprocessing, count_levels
from cxresnet.data.source_rounds import find_other_films, take_films

__all__ = ["Material", "gather_material"]


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
    dataset: PreparedDataset, *, fold: int | None = None, without_source: str | None = None
) -> Material:
    """Take the films of the splits, or of one round of cross-validation, or without a source.

    Args:
        dataset: A prepared dataset.
        fold: None for the splits. Else this fold is held out altogether, the next one chooses the
            epoch, and the others are learned from: a fold that chose the epoch would flatter it.
        without_source: Leave out every film that has to do with this source, its patients' films
            elsewhere too; mean and sd are measured on what is left.

    Raises:
        DatasetError: There is no such split or fold.
        SplitError: Too few films or folds to train on.
    """
    if fold is None:
        train, val = dataset.select("train"), dataset.select("val")
    else:
        train, val = _take_round(dataset, fold)
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
    others = dataset.select_fold(fold, "train")
    folds = others.manifest["fold"].to_numpy()
    following = min(folds[folds > fold], default=folds.min())
    is_val = folds == following
    if is_val.all():
        raise SplitError(
            "Cross-validation needs at least three folds: one held out, one that chooses the "
            "epoch, one to learn from. Prepare the dataset again with --set data.folds=5."
        )
    return take_films(others, ~is_val), take_films(others, is_val)
