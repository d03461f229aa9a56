"""The images: what there is, where it comes from, and how it was split; near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxresnet.core.finding import Finding
from cxresnet.data.dataset.dataset_record import ImageCounts
from cxresnet.data.manifest import SPLIT_NAMES
from cxresnet.report.artifacts import DatasetArtifacts
from cxresnet.report.page import build_data_uri
from cxresnet.report.registry import register_section

_SAMPLES_PER_CLASS = 6
_SAMPLE_SIDE_PX = 160
_MOST_SOURCES = 12
_OTHERS = "other sources"


@dataclass(frozen=True)
class SplitCell:
    """Images and patients (or clusters of near-duplicates, without patient IDs) of one split."""

    images: int
    groups: int


@dataclass(frozen=True)
class ClassRow:
    """One class: counts by split, and the share of each source among its images.

    Attributes:
        class_name: The class.
        total: All its images.
        splits: One cell for each of train, val and test.
        source_shares: In the order of the sources, 0 to 1, sums to 1.
    """

    class_name: str
    total: SplitCell
    splits: tuple[SplitCell, ...]
    source_shares: tuple[float, ...]


@dataclass(frozen=True)
class SourceRow:
    """One source: images by class, and for each class by split."""

    source: str
    images: int
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Sample:
    """One image as the network receives it."""

    uri: str
    class_name: str
    source: str


@dataclass(frozen=True)
class RejectedRow:
    """Why images were rejected, how many, and one of them with the reason in its own case."""

    code: str
    images: int
    example: str
    reason: str


@dataclass(frozen=True)
class DataView:
    """What the template shows.

    Attributes:
        class_names: In order.
        images: All images.
        groups: Patients, or clusters of near-duplicates where there is no patient ID.
        side_px: Side of a prepared image.
        classes: One row a class.
        sources: One row a source.
        samples: For each class.
        shown: Whether there is any sample.
        counts: Where every scanned image went.
        rejected: By reason.
        near_duplicates: Images that have at least one near-duplicate among the others.
        near_duplicate_clusters: Clusters of two or more.
        share_without_patient: 0 to 1.
        findings: Results of the checks of the images.
    """

    class_names: tuple[str, ...]
    images: int
    groups: int
    side_px: int
    classes: tuple[ClassRow, ...]
    sources: tuple[SourceRow, ...]
    samples: tuple[tuple[Sample, ...], ...]
    shown: bool
    counts: ImageCounts
    rejected: tuple[RejectedRow, ...]
    near_duplicates: int
    near_duplicate_clusters: int
    share_without_patient: float
    findings: tuple[Finding, ...]


@register_section(
    "data",
    title="The images",
    short_title="Images",
    order=10,
    needs=("dataset_artifacts",),
    missing="The prepared dataset of this run is not there any more.",
    pages=("run", "data"),
)
def build_data_view(artifacts: DatasetArtifacts) -> DataView:
    """Count, and draw a few training images; the same images on every call."""
    manifest = _join_small_sources(artifacts.manifest)
    sources = tuple(sorted(manifest["source"].unique()))
    sizes = manifest["cluster_id"].value_counts()
    return DataView(
        class_names=artifacts.class_names,
        images=len(manifest),
        groups=manifest["group_id"].nunique(),
        side_px=artifacts.side_px,
        classes=tuple(
            _count_class(manifest, name, sources=sources) for name in artifacts.class_names
        ),
        sources=tuple(
            _count_source(manifest, source, class_names=artifacts.class_names) for source in sources
        ),
        samples=tuple(_draw_samples(artifacts, name) for name in artifacts.class_names),
        shown=len(artifacts.training) > 0,
        counts=artifacts.counts,
        rejected=count_rejected(artifacts.rejected),
        near_duplicates=int(sizes[sizes > 1].sum()),
        near_duplicate_clusters=int((sizes > 1).sum()),
        share_without_patient=float((manifest["patient_id"] == "").mean()),
        findings=artifacts.findings,
    )


def count_rejected(rejected: pd.DataFrame) -> tuple[RejectedRow, ...]:
    """Count the rejected images by reason, the most frequent first.

    Args:
        rejected: With columns image_id, code and reason.
    """
    if rejected.empty:
        return ()
    rows = [
        RejectedRow(
            code=str(code),
            images=len(images),
            example=str(images["image_id"].iloc[0]),
            reason=str(images["reason"].iloc[0]),
        )
        for code, images in rejected.groupby("code", sort=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.images, row.code)))


def _join_small_sources(manifest: pd.DataFrame) -> pd.DataFrame:
    """Keep the largest sources by name, and the rest as one, so that tables stay readable."""
    counts = manifest["source"].value_counts()
    if len(counts) <= _MOST_SOURCES:
        return manifest
    kept = counts.index[: _MOST_SOURCES - 1]
    return manifest.assign(source=manifest["source"].where(manifest["source"].isin(kept), _OTHERS))


def _count(images: pd.DataFrame) -> SplitCell:
    return SplitCell(images=len(images), groups=images["group_id"].nunique())


def _count_class(manifest: pd.DataFrame, name: str, *, sources: Sequence[str]) -> ClassRow:
    images = manifest[manifest["class_name"] == name]
    by_source = images["source"].value_counts()
    return ClassRow(
        class_name=name,
        total=_count(images),
        splits=tuple(_count(images[images["split"] == split]) for split in SPLIT_NAMES),
        source_shares=tuple(
            float(by_source.get(source, 0)) / max(1, len(images)) for source in sources
        ),
    )


def _count_source(manifest: pd.DataFrame, source: str, *, class_names: Sequence[str]) -> SourceRow:
    images = manifest[manifest["source"] == source]
    counts = images.groupby(["class_name", "split"]).size()
    cells = tuple(
        tuple(int(counts.get((name, split), 0)) for split in SPLIT_NAMES) for name in class_names
    )
    return SourceRow(source=source, images=len(images), cells=cells)


def _draw_samples(artifacts: DatasetArtifacts, class_name: str) -> tuple[Sample, ...]:
    """Take images of a class evenly from the training rows, one a group as far as there are."""
    training = artifacts.training.reset_index(drop=True)
    ours = training[training["class_name"] == class_name].drop_duplicates("group_id")
    places = np.linspace(0, len(ours) - 1, min(_SAMPLES_PER_CLASS, len(ours))).round()
    samples = []
    for place in places.astype(int):
        row = int(ours.index[place])
        uri = build_data_uri(artifacts.training_images[row], largest_side_px=_SAMPLE_SIDE_PX)
        samples.append(Sample(uri, class_name, str(ours["source"].iloc[place])))
    return tuple(samples)


# Near-duplicates: the same image under several names.


_MOST_CLUSTERS = 12
_MAX_DUPLICATES = 6
_SIDE_PX = 112


@dataclass(frozen=True)
class DuplicateImage:
    """One image of a cluster."""

    uri: str
    image_id: str
    class_name: str
    source: str


@dataclass(frozen=True)
class ClusterView:
    """One cluster: its images, as far as they are shown, and how many there are."""

    duplicates: tuple[DuplicateImage, ...]
    images: int


@dataclass(frozen=True)
class NearDuplicatesView:
    """What the template shows.

    Attributes:
        clusters: The largest clusters of the training split.
        images: Images that have a near-duplicate, in all splits.
        found: Clusters of two or more, in all splits.
    """

    clusters: tuple[ClusterView, ...]
    images: int
    found: int


@register_section(
    "near_duplicates",
    title="Near-duplicates",
    short_title="Near-duplicates",
    order=30,
    needs=("dataset_artifacts",),
    pages=("data",),
)
def build_near_duplicates_view(artifacts: DatasetArtifacts) -> NearDuplicatesView:
    """Show the largest clusters; pictures come from the training split alone."""
    sizes = artifacts.manifest["cluster_id"].value_counts()
    training = artifacts.training.reset_index(drop=True)
    repeated = training["cluster_id"].value_counts()
    repeated = repeated[repeated > 1].sort_index().sort_values(ascending=False, kind="stable")
    return NearDuplicatesView(
        clusters=tuple(
            _show_cluster(artifacts, cluster) for cluster in repeated.index[:_MOST_CLUSTERS]
        ),
        images=int(sizes[sizes > 1].sum()),
        found=int((sizes > 1).sum()),
    )


def _show_cluster(artifacts: DatasetArtifacts, cluster: int) -> ClusterView:
    training = artifacts.training.reset_index(drop=True)
    images = training[training["cluster_id"] == cluster]
    duplicates = tuple(
        DuplicateImage(
            uri=build_data_uri(artifacts.training_images[row], largest_side_px=_SIDE_PX),
            image_id=str(image["image_id"]),
            class_name=str(image["class_name"]),
            source=str(image["source"]),
        )
        for row, image in zip(
            images.index[:_MAX_DUPLICATES].tolist(),
            images.head(_MAX_DUPLICATES).to_dict("records"),
            strict=True,
        )
    )
    return ClusterView(duplicates, len(images))
