"""The films: what there is, where it comes from, and how it was split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.finding import Finding
from cxresnet.data.manifest import SPLIT_NAMES
from cxresnet.report.images import build_data_address
from cxresnet.report.section import Section

__all__ = [
    "ClassRow",
    "FilmMaterial",
    "FilmsView",
    "RejectedRow",
    "Sample",
    "SourceRow",
    "SplitCell",
    "build_films_section",
    "build_films_view",
    "count_rejected",
]

_SAMPLES_PER_CLASS = 6
_SAMPLE_SIDE_PX = 160
_MOST_SOURCES = 12
_OTHERS = "other sources"


class _Films(Protocol):
    """(n, side, side) uint8, perhaps on the disk; one film is read when it is asked for."""

    def __getitem__(self, row: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class FilmMaterial:
    """What the section is made of.

    Attributes:
        class_names: In order.
        manifest: All films.
        training: The rows of the training films, as drawn from; the test stays sealed.
        training_films: Row i belongs to row i of `training`.
        side_px: Side of a prepared film.
        rejected: `rejected.csv`; empty where nothing was.
        findings: What was asked of the films before any training.
    """

    class_names: tuple[str, ...]
    manifest: pd.DataFrame
    training: pd.DataFrame
    training_films: _Films
    side_px: int
    rejected: pd.DataFrame
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class SplitCell:
    """Films and patients (or clusters, where nobody says whose a film is) of one split."""

    films: int
    groups: int


@dataclass(frozen=True)
class ClassRow:
    """One class: counts by split, and the share of each source among its films.

    Attributes:
        class_name: The class.
        total: All its films.
        splits: One cell for each of train, val and test.
        source_shares: In the order of the sources, 0 to 1, sums to 1.
    """

    class_name: str
    total: SplitCell
    splits: tuple[SplitCell, ...]
    source_shares: tuple[float, ...]


@dataclass(frozen=True)
class SourceRow:
    """One source: films by class, and for each class by split."""

    source: str
    films: int
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Sample:
    """One film as the network gets it."""

    address: str
    class_name: str
    source: str


@dataclass(frozen=True)
class RejectedRow:
    """Why films were left out, how many, and one of them with the reason in its own case."""

    code: str
    films: int
    example: str
    reason: str


@dataclass(frozen=True)
class FilmsView:
    """What the template shows.

    Attributes:
        class_names: In order.
        films: All films.
        groups: Patients, or clusters of copies where nobody says whose a film is.
        side_px: Side of a prepared film.
        classes: One row a class.
        sources: One row a source.
        samples: For each class.
        shown: Whether there is any sample.
        rejected: By reason.
        rejected_films: In all.
        copies: Films that have at least one copy among the others.
        copy_clusters: Clusters of two or more.
        share_without_patient: 0 to 1.
        findings: What was asked of the films.
    """

    class_names: tuple[str, ...]
    films: int
    groups: int
    side_px: int
    classes: tuple[ClassRow, ...]
    sources: tuple[SourceRow, ...]
    samples: tuple[tuple[Sample, ...], ...]
    shown: bool
    rejected: tuple[RejectedRow, ...]
    rejected_films: int
    copies: int
    copy_clusters: int
    share_without_patient: float
    findings: tuple[Finding, ...]


def build_films_section(material: FilmMaterial | None) -> Section:
    """Build the section; without a dataset it says so."""
    anchor, title, short = "films", "The films", "Films"
    if material is None:
        missing = "The prepared dataset of this run is not there any more."
        return Section(anchor, title, short, view=None, missing=missing)
    return Section(anchor, title, short, view=build_films_view(material))


def build_films_view(material: FilmMaterial) -> FilmsView:
    """Count, and draw a few training films; the same films on every call."""
    manifest = _join_small_sources(material.manifest)
    sources = tuple(sorted(manifest["source"].unique()))
    sizes = manifest["cluster_id"].value_counts()
    return FilmsView(
        class_names=material.class_names,
        films=len(manifest),
        groups=manifest["group_id"].nunique(),
        side_px=material.side_px,
        classes=tuple(
            _count_class(manifest, name, sources=sources) for name in material.class_names
        ),
        sources=tuple(
            _count_source(manifest, source, class_names=material.class_names) for source in sources
        ),
        samples=tuple(_draw_samples(material, name) for name in material.class_names),
        shown=len(material.training) > 0,
        rejected=count_rejected(material.rejected),
        rejected_films=len(material.rejected),
        copies=int(sizes[sizes > 1].sum()),
        copy_clusters=int((sizes > 1).sum()),
        share_without_patient=float((manifest["patient_id"] == "").mean()),
        findings=material.findings,
    )


def count_rejected(rejected: pd.DataFrame) -> tuple[RejectedRow, ...]:
    """Count the films left out by reason, the most frequent first.

    Args:
        rejected: With columns image_id, code and reason.
    """
    if rejected.empty:
        return ()
    rows = [
        RejectedRow(
            code=str(code),
            films=len(films),
            example=str(films["image_id"].iloc[0]),
            reason=str(films["reason"].iloc[0]),
        )
        for code, films in rejected.groupby("code", sort=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.films, row.code)))


def _join_small_sources(manifest: pd.DataFrame) -> pd.DataFrame:
    """Keep the largest sources by name, and the rest as one, so that tables stay readable."""
    counts = manifest["source"].value_counts()
    if len(counts) <= _MOST_SOURCES:
        return manifest
    kept = counts.index[: _MOST_SOURCES - 1]
    return manifest.assign(source=manifest["source"].where(manifest["source"].isin(kept), _OTHERS))


def _count(films: pd.DataFrame) -> SplitCell:
    return SplitCell(films=len(films), groups=films["group_id"].nunique())


def _count_class(manifest: pd.DataFrame, name: str, *, sources: Sequence[str]) -> ClassRow:
    films = manifest[manifest["class_name"] == name]
    by_source = films["source"].value_counts()
    return ClassRow(
        class_name=name,
        total=_count(films),
        splits=tuple(_count(films[films["split"] == split]) for split in SPLIT_NAMES),
        source_shares=tuple(
            float(by_source.get(source, 0)) / max(1, len(films)) for source in sources
        ),
    )


def _count_source(manifest: pd.DataFrame, source: str, *, class_names: Sequence[str]) -> SourceRow:
    films = manifest[manifest["source"] == source]
    counts = films.groupby(["class_name", "split"]).size()
    cells = tuple(
        tuple(int(counts.get((name, split), 0)) for split in SPLIT_NAMES) for name in class_names
    )
    return SourceRow(source=source, films=len(films), cells=cells)


def _draw_samples(material: FilmMaterial, class_name: str) -> tuple[Sample, ...]:
    """Take films of a class evenly from the training rows, one a group as far as there are."""
    training = material.training.reset_index(drop=True)
    ours = training[training["class_name"] == class_name].drop_duplicates("group_id")
    places = np.linspace(0, len(ours) - 1, min(_SAMPLES_PER_CLASS, len(ours))).round()
    samples = []
    for place in places.astype(int):
        row = int(ours.index[place])
        address = build_data_address(material.training_films[row], largest_side_px=_SAMPLE_SIDE_PX)
        samples.append(Sample(address, class_name, str(ours["source"].iloc[place])))
    return tuple(samples)
