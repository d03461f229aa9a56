"""Which decoded films stay: rejected ones are gone, copies found, label conflicts left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.data.conflicts import find_label_conflicts
from cxresnet.data.dataset_record import FilmCounts
from cxresnet.data.decoded_films import (
    FilmPlace,
    gather_films,
    gather_rejections,
    require_classes,
)
from cxresnet.data.decoded_folder import DecodedFolder
from cxresnet.data.duplicates import find_clusters
from cxresnet.data.sources.source import Rejection

__all__ = ["SortedFilms", "sort_films"]


@dataclass(frozen=True, kw_only=True)
class SortedFilms:
    """All scanned films, each with what became of it.

    Attributes:
        decoded: Films that could be decoded, sorted by `image_id`.
        rejections: All others.
        clusters: (decoded,), equal for copies of each other.
        conflicts: (decoded,), true where a copy stands under another class.
        kept: Rows of `decoded` that are in the dataset.
    """

    decoded: tuple[FilmPlace, ...]
    rejections: tuple[Rejection, ...]
    clusters: NDArray[np.int64]
    conflicts: NDArray[np.bool_]
    kept: NDArray[np.intp]

    @property
    def counts(self) -> FilmCounts:
        """How many went where."""
        return FilmCounts(
            scanned=len(self.decoded) + len(self.rejections),
            rejected=len(self.rejections),
            conflicting=len(self.decoded) - len(self.kept),
            kept=len(self.kept),
        )

    @property
    def places(self) -> tuple[FilmPlace, ...]:
        """The films that are in the dataset."""
        return tuple(self.decoded[row] for row in self.kept.tolist())

    def describe(self) -> tuple[str, ...]:
        """Say what was left out, and for how many films nobody says whose they are."""
        return (
            *_describe_rejections(self.rejections),
            *_describe_conflicts(self.conflicts, dropped=len(self.kept) < len(self.decoded)),
            *_describe_masks(self.places),
            *_describe_patients(self.places),
        )


def sort_films(
    folders: Sequence[DecodedFolder], scan_rejections: Sequence[Rejection], *, config: DataConfig
) -> SortedFilms:
    """Find out which decoded films stay.

    Args:
        folders: Decoded films.
        scan_rejections: Left out before decoding.
        config: Whether to look for copies, and what to do with conflicts.

    Raises:
        EmptySourceError: No film stays.
        ClassMapError: Films of one class only stay.
    """
    decoded = gather_films(folders)
    rejections = gather_rejections(scan_rejections, folders)
    classes = [place.record.class_name for place in decoded]
    require_classes(classes, rejections, outside=config.outside)
    clusters = _find_copies(decoded, folders, config=config)
    conflicts = find_label_conflicts(clusters, classes)
    kept = np.flatnonzero(~conflicts | (config.label_conflicts == "keep"))
    left = [classes[row] for row in kept.tolist()]
    require_classes(left, rejections, outside=config.outside)
    return SortedFilms(
        decoded=tuple(decoded),
        rejections=tuple(rejections),
        clusters=clusters,
        conflicts=conflicts,
        kept=kept,
    )


def _find_copies(
    places: Sequence[FilmPlace], folders: Sequence[DecodedFolder], *, config: DataConfig
) -> NDArray[np.int64]:
    if not config.find_duplicates:
        return np.arange(len(places), dtype=np.int64)
    prints = []
    files = [folder.open("fingerprints") for folder in folders]
    for place in places:
        slot = place.rows["fingerprints"]
        prints.append(files[place.folder].read(slot, slot + 1).reshape(-1))
    for file in files:
        file.close()
    return find_clusters(np.stack(prints))


def _describe_rejections(rejections: Sequence[Rejection]) -> tuple[str, ...]:
    if not rejections:
        return ()
    codes = sorted({rejection.code for rejection in rejections})
    return (f"{len(rejections)} films were rejected ({', '.join(codes)}); see rejected.csv.",)


def _describe_conflicts(conflicts: NDArray[np.bool_], *, dropped: bool) -> tuple[str, ...]:
    if not conflicts.any():
        return ()
    fate = "were left out" if dropped else "were kept all the same"
    notice = (
        f"{conflicts.sum()} films are copies of each other under different classes and {fate}; "
        "see conflicts.csv."
    )
    return (notice,)


def _describe_masks(places: Sequence[FilmPlace]) -> tuple[str, ...]:
    problems = [place.mask_problem for place in places if place.mask_problem]
    if not problems:
        return ()
    return (f"For {len(problems)} films a mask was left out; the first time since: {problems[0]}",)


def _describe_patients(places: Sequence[FilmPlace]) -> tuple[str, ...]:
    unknown = sum(not place.record.patient_id for place in places)
    if not unknown:
        return ()
    notice = (
        f"{unknown} of {len(places)} films ({unknown / len(places):.0%}) have no patient id; for "
        "them copies are kept together, but other films of the same patient cannot be."
    )
    return (notice,)
