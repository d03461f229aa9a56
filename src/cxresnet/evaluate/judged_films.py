"""Which films are judged: the sealed test of the run, or all films of another dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.errors import ClassMapError, DatasetError
from cxresnet.core.progress import track
from cxresnet.data.dataset import FilmSet, PreparedDataset, open_dataset
from cxresnet.data.dataset_record import LEDGER_NAME
from cxresnet.data.duplicates import compute_fingerprints, find_clusters
from cxresnet.data.sealed_test import Opener, Opening, read_ledger
from cxresnet.evaluate.record import LedgerRow
from cxresnet.predict.predictor import Predictor

__all__ = [
    "JudgedFilms",
    "open_other_films",
    "open_test_films",
    "require_remembered_openings",
]

_REASON = "evaluate"
"""Openings for numbers begin with it."""


@dataclass(frozen=True, kw_only=True)
class JudgedFilms:
    """Films that are judged.

    Attributes:
        name: "test", or the name of the other dataset.
        dataset: Where they are from.
        film_sets: The films, one set after the other.
        keep: Which of them are judged, (films,): not those that the network may have learnt.
        openings: How often the sealed test was opened for numbers, this time included; None
            where films of another dataset are judged.
        notes: Sentences for the reader.
        crossing_films: Films that have a copy or a film of their patient in another split; 0 where
            films of another dataset are judged, copies among which are left out.
        ledger: Every opening of the sealed test so far; empty where there is none.
    """

    name: str
    dataset: PreparedDataset
    film_sets: tuple[FilmSet, ...]
    keep: NDArray[np.bool_]
    openings: int | None
    notes: tuple[str, ...] = ()
    crossing_films: int = 0
    ledger: tuple[LedgerRow, ...] = ()

    @property
    def facts(self) -> pd.DataFrame:
        """Rows of the manifest of the films that are judged."""
        rows = pd.concat([film_set.manifest for film_set in self.film_sets], ignore_index=True)
        return rows[self.keep].reset_index(drop=True)


def open_test_films(home: PreparedDataset, opener: Opener) -> JudgedFilms:
    """Open the sealed test of the dataset that the network was trained on.

    Args:
        home: The dataset.
        opener: Who opens it; the reason begins with "evaluate".

    Raises:
        DatasetError: There is no test split, or the ledger of openings was altered.
    """
    films = home.open_sealed_test(opener)
    ledger = read_ledger(home.path / LEDGER_NAME)
    return JudgedFilms(
        name="test",
        dataset=home,
        film_sets=(films,),
        keep=np.ones(len(films), dtype=bool),
        openings=sum(opening.reason.startswith(_REASON) for opening in ledger),
        crossing_films=count_crossing_films(home.manifest),
        ledger=tuple(_describe_opening(opening) for opening in ledger),
    )


def require_remembered_openings(home: PreparedDataset, remembered: Sequence[LedgerRow]) -> None:
    """Refuse a ledger from which openings were cut off at the end: its chain would not show it.

    Args:
        home: The dataset.
        remembered: The ledger as it was when the run was evaluated before.

    Raises:
        DatasetError: An opening is missing or another one.
    """
    kept = [_describe_opening(opening) for opening in read_ledger(home.path / LEDGER_NAME)]
    for row, now in zip_longest(remembered, kept[: len(remembered)]):
        if now is None or row not in {now, now.model_copy(update={"row_hash": ""})}:
            raise DatasetError(
                f"The ledger of test openings was altered: opening {row.number} of "
                f"{row.opened_utc}, which the run remembers, is not in it. Put the ledger back, or "
                "prepare again."
            )


def count_crossing_films(manifest: pd.DataFrame) -> int:
    """Count the test films that share a group, a cluster of copies or their pixels with others."""
    test = (manifest["split"] == "test").to_numpy()
    crossing = np.zeros(int(test.sum()), dtype=bool)
    for column in ("group_id", "cluster_id", "film_sha256"):
        here, elsewhere = manifest.loc[test, column], manifest.loc[~test, column]
        crossing |= here.isin(elsewhere).to_numpy(dtype=bool)
    return int(crossing.sum())


def _describe_opening(opening: Opening) -> LedgerRow:
    return LedgerRow.model_validate(
        {name: getattr(opening, name) for name in LedgerRow.model_fields}
    )


def open_other_films(
    path: Path, *, predictor: Predictor, home: PreparedDataset, opener: Opener
) -> JudgedFilms:
    """Open all films of another dataset, but for those that the network was trained on.

    Args:
        path: The other dataset, prepared as the network's own was.
        predictor: The network.
        home: The dataset that it was trained on.
        opener: Who opens the other dataset's own sealed test, if it has one.

    Raises:
        DatasetError: It is the network's own dataset, or was prepared otherwise.
        ClassMapError: It holds none of the network's classes.
    """
    other = open_dataset(path)
    if other.dataset_hash == home.dataset_hash:
        raise DatasetError(
            f"'{path}' is the dataset that the network was trained on. "
            "Leave --dataset out to judge its sealed test."
        )
    _require_same_road(other, predictor)
    shared = [name for name in other.class_names if name in predictor.class_names]
    if not shared:
        raise ClassMapError(
            f"'{path}' has the classes {', '.join(other.class_names)}; the network knows "
            f"{', '.join(predictor.class_names)}. Prepare it again with --classes."
        )
    film_sets = _open_all(other, opener)
    copied = _find_copies(film_sets, home)
    note = (
        f"{int(copied.sum())} films are copies of films that the network was trained or chosen on, "
        "and are left out."
    )
    return JudgedFilms(
        name=other.record.name,
        dataset=other,
        film_sets=film_sets,
        keep=~copied,
        openings=None,
        notes=(note,) if copied.any() else (),
    )


def _open_all(dataset: PreparedDataset, opener: Opener) -> tuple[FilmSet, ...]:
    present = set(dataset.manifest["split"])
    film_sets = [dataset.select(split) for split in ("train", "val") if split in present]
    if "test" in present:
        film_sets.append(
            dataset.open_sealed_test(replace(opener, reason=f"{_REASON}: as another dataset"))
        )
    return tuple(film_sets)


def _require_same_road(other: PreparedDataset, predictor: Predictor) -> None:
    """Refuse films that were prepared otherwise than the network's own."""
    measured = {"mean", "sd"}
    theirs = other.preprocessing.model_dump(exclude=measured)
    ours = predictor.preprocessing.model_dump(exclude=measured)
    differing = [name for name in ours if ours[name] != theirs[name]]
    if differing:
        name = differing[0]
        raise DatasetError(
            f"'{other.path}' was prepared with {name} = {theirs[name]}, the network's films with "
            f"{ours[name]}. Prepare it again with the config of the run."
        )


def _find_copies(film_sets: Sequence[FilmSet], home: PreparedDataset) -> NDArray[np.bool_]:
    """Find films that were learnt from: the same file, or the same picture under another name."""
    learnt = (home.select("train"), home.select("val"))
    prints = compute_fingerprints(
        film
        for film_set in track((*learnt, *film_sets), "Looking for copies")
        for film in film_set.films
    )
    clusters = find_clusters(prints)
    known = sum(map(len, learnt))
    alike = np.isin(clusters[known:], clusters[:known])
    files = pd.concat([film_set.manifest["content_sha256"] for film_set in learnt])
    same = pd.concat([film_set.manifest["content_sha256"].isin(files) for film_set in film_sets])
    found: NDArray[np.bool_] = alike | same.to_numpy(dtype=bool)
    return found
