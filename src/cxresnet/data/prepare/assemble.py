"""From decoded images to a dataset: select, split, write in order, measure, record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.core.files import compute_sha256, explain_storage_errors, write_text
from cxresnet.core.printable import make_printable
from cxresnet.data.dataset.dataset_record import (
    ACCESS_LOG_NAME,
    CONFLICTS_NAME,
    FINGERPRINTS_NAME,
    IMAGES_NAME,
    LESION_MASKS_NAME,
    LUNG_MASKS_NAME,
    MANIFEST_NAME,
    REJECTED_NAME,
    ROW_HASHES_NAME,
    DatasetRecord,
    ImageCounts,
    compute_dataset_hash,
    list_versions,
    seal_record,
    write_dataset_record,
)
from cxresnet.data.dataset.held_out import start_access_log
from cxresnet.data.duplicates import find_clusters
from cxresnet.data.manifest import (
    SPLIT_NAMES,
    build_manifest,
    compute_row_hashes,
    write_manifest,
    write_safe_csv,
)
from cxresnet.data.prepare.decoded_folder import (
    DecodedFolder,
    StoredImage,
    gather_images,
    gather_rejections,
    write_image_arrays,
)
from cxresnet.data.prepare.preprocessing import (
    Preprocessing,
    build_preprocessing,
    complete_preprocessing,
    count_levels,
)
from cxresnet.data.prepare.requirements import list_lost_classes, require_classes
from cxresnet.data.prepare.store import open_image_array
from cxresnet.data.sources.source import Rejection
from cxresnet.data.split.given import keep_given_splits
from cxresnet.data.split.groups import find_label_conflicts, join_groups
from cxresnet.data.split.split import assign_folds, assign_splits, warn_of_small_splits

# Selecting images: near-duplicates are found, and label conflicts are left out.

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class SelectedImages:
    """All scanned images, each with what became of it.

    Attributes:
        decoded: Images that could be decoded, sorted by `image_id`.
        rejections: All others.
        clusters: (decoded,), equal for near-duplicates of each other.
        conflicts: (decoded,), true where a near-duplicate has another class.
        kept: Rows of `decoded` that are in the dataset.
        lost_classes: Classes that should have an image and have none.
    """

    decoded: tuple[StoredImage, ...]
    rejections: tuple[Rejection, ...]
    clusters: NDArray[np.int64]
    conflicts: NDArray[np.bool_]
    kept: NDArray[np.intp]
    lost_classes: tuple[str, ...] = ()

    @property
    def counts(self) -> ImageCounts:
        """How many went where."""
        return ImageCounts(
            scanned=len(self.decoded) + len(self.rejections),
            rejected=len(self.rejections),
            conflicting=len(self.decoded) - len(self.kept),
            kept=len(self.kept),
        )

    @property
    def places(self) -> tuple[StoredImage, ...]:
        """The images that are in the dataset."""
        return tuple(self.decoded[row] for row in self.kept.tolist())

    def describe(self) -> tuple[str, ...]:
        """Describe what was left out, and how many images have no patient id."""
        return (
            *(f"The class '{name}' has no image and is left out." for name in self.lost_classes),
            *_describe_rejections(self.rejections),
            *_describe_conflicts(self.conflicts, dropped=len(self.kept) < len(self.decoded)),
            *_describe_masks(self.places),
            *_describe_notes(self.places),
            *_describe_patients(self.places),
        )


def select_images(
    folder: DecodedFolder,
    scan_rejections: Sequence[Rejection],
    *,
    config: DataConfig,
    claimed: Sequence[str] = (),
) -> SelectedImages:
    """Find out which decoded images stay.

    Args:
        folder: Decoded images.
        scan_rejections: Left out before decoding.
        config: Whether to search for near-duplicates, and what to do with conflicts.
        claimed: Classes that should have an image.

    Raises:
        EmptySourceError: No image stays.
        ClassMapError: Images of one class only stay, or none of a class.
    """
    decoded = gather_images(folder)
    rejections = gather_rejections(scan_rejections, folder)
    classes = [place.record.class_name for place in decoded]
    require_classes(classes, rejections, config=config, claimed=claimed)
    clusters = _find_near_duplicates(decoded, folder, config=config)
    conflicts = find_label_conflicts(clusters, classes)
    kept = np.flatnonzero(~conflicts | (config.label_conflicts == "keep"))
    left = [classes[row] for row in kept.tolist()]
    claimed = (*claimed, *classes)
    require_classes(left, rejections, config=config, claimed=claimed)
    return SelectedImages(
        decoded=tuple(decoded),
        rejections=tuple(rejections),
        clusters=clusters,
        conflicts=conflicts,
        kept=kept,
        lost_classes=tuple(list_lost_classes(left, rejections, claimed=claimed)),
    )


def _find_near_duplicates(
    places: Sequence[StoredImage], folder: DecodedFolder, *, config: DataConfig
) -> NDArray[np.int64]:
    if not config.find_duplicates:
        return np.arange(len(places), dtype=np.int64)
    with folder.open("fingerprints") as file:
        slots = [place.rows["fingerprints"] for place in places]
        prints = [file.read(slot, slot + 1).reshape(-1) for slot in slots]
    return find_clusters(np.stack(prints))


def _describe_rejections(rejections: Sequence[Rejection]) -> tuple[str, ...]:
    if not rejections:
        return ()
    codes = sorted({rejection.code for rejection in rejections})
    return (f"{len(rejections)} images were rejected ({', '.join(codes)}); see rejected.csv.",)


def _describe_conflicts(conflicts: NDArray[np.bool_], *, dropped: bool) -> tuple[str, ...]:
    if not conflicts.any():
        return ()
    fate = "were left out" if dropped else "were kept anyway"
    warning = (
        f"{conflicts.sum()} images are near-duplicates with different classes and {fate}; "
        "see conflicts.csv."
    )
    return (warning,)


def _describe_masks(places: Sequence[StoredImage]) -> tuple[str, ...]:
    problems = [place.mask_problem for place in places if place.mask_problem]
    if not problems:
        return ()
    return (f"For {len(problems)} images a mask was left out. The first reason: {problems[0]}",)


def _describe_notes(places: Sequence[StoredImage]) -> tuple[str, ...]:
    """Say each note of the decoder once, with the number of images that it is about."""
    counts = Counter(note for place in places for note in place.notes)
    return tuple(f"{count:,} images: {note}" for note, count in sorted(counts.items()))


def _describe_patients(places: Sequence[StoredImage]) -> tuple[str, ...]:
    unknown = sum(not place.record.patient_id for place in places)
    if not unknown:
        return ()
    warning = (
        f"{unknown} of {len(places)} images ({unknown / len(places):.0%}) have no patient id. "
        "Their near-duplicates are kept together, but other images of the same patient cannot be."
    )
    return (warning,)


# Which image goes where: groups, splits, folds and the order of the rows, before any is written.

_RECORD_COLUMNS = (
    "image_id", "class_name", "patient_id", "source", "view", "age_years", "sex", "given_split",
)  # fmt: skip


_EXTERNAL_TEST = (
    "This is an external test set: all images are locked until 'cxresnet evaluate' tests a network "
    "on them that was trained elsewhere."
)


@dataclass(frozen=True)
class SplitPlan:
    """Where every image of a dataset goes. All in the order of the manifest's rows.

    The rows of one split follow each other, so that a split is one stretch of `images.npy`.

    Attributes:
        places: The images.
        clusters: (n,), equal for near-duplicates of each other.
        groups: (n,), equal for images that must stay in one split.
        splits: (n,), "train", "val" or "test".
        folds: (n,), -1 for none.
    """

    places: tuple[StoredImage, ...]
    clusters: NDArray[np.int64]
    groups: NDArray[np.int64]
    splits: NDArray[np.str_]
    folds: NDArray[np.int64]

    def build_manifest(
        self, *, lung_mask_rows: NDArray[np.int64], lesion_mask_rows: NDArray[np.int64]
    ) -> pd.DataFrame:
        """Build the manifest, given where the masks went."""
        records = [place.record for place in self.places]
        import pandas as pd  # noqa: PLC0415  slow to import, and not needed to say what is wrong

        facts = pd.DataFrame([asdict(place.facts) for place in self.places])
        return build_manifest(
            {name: [getattr(record, name) for record in records] for name in _RECORD_COLUMNS}
            | {str(name): facts[name].tolist() for name in facts.columns}
            | {
                "split": self.splits.tolist(),
                "fold": self.folds.tolist(),
                "group_id": self.groups.tolist(),
                "cluster_id": self.clusters.tolist(),
                "lung_mask_row": lung_mask_rows.tolist(),
                "lesion_mask_row": lesion_mask_rows.tolist(),
            }
        )


def plan_splits(
    places: Sequence[StoredImage], clusters: NDArray[np.int64], *, config: DataConfig
) -> tuple[SplitPlan, tuple[str, ...]]:
    """Split images, and put them in the order of the manifest.

    Args:
        places: The images, sorted by `image_id`.
        clusters: (n,), equal for near-duplicates of each other.
        config: How to split.

    Returns:
        The plan, and warnings for the user.

    Raises:
        SplitError: The images cannot be split as configured.
    """
    records = [place.record for place in places]
    classes = [record.class_name for record in records]
    sources = [record.source for record in records]
    groups = join_groups([record.patient_id for record in records], clusters)
    warnings: tuple[str, ...] = ()
    if config.external_test:
        splits = np.full(len(records), "test")
        warnings = (_EXTERNAL_TEST,)
    elif config.keep_given_split:
        given = [record.given_split for record in records]
        splits, warnings = keep_given_splits(given, groups, classes, sources, config=config)
    else:
        splits = assign_splits(groups, classes, sources, config=config)
    folds = assign_folds(groups, classes, sources, splits, config=config)
    warnings += warn_of_small_splits(groups, classes, splits)
    place_of = {name: number for number, name in enumerate(SPLIT_NAMES)}
    order = np.argsort([place_of[split] for split in splits.tolist()], kind="stable")
    plan = SplitPlan(
        places=tuple(places[row] for row in order.tolist()),
        clusters=clusters[order],
        groups=groups[order],
        splits=splits[order],
        folds=folds[order],
    )
    return plan, warnings


@dataclass(frozen=True, kw_only=True)
class DatasetInputs:
    """What a dataset is made of.

    Attributes:
        source_name: Where the images come from.
        class_names: All classes of the source's map, in order.
        decoded: All decoded images.
        rejections: Left out while scanning.
        warnings: What the source warned of.
        claimed: Classes that should have an image.
    """

    source_name: str
    class_names: tuple[str, ...]
    decoded: DecodedFolder
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()


def assemble_dataset(
    inputs: DatasetInputs, *, config: DataConfig, folder: Path, name: str
) -> DatasetRecord:
    """Write a dataset into a folder; `dataset.json` comes last.

    Args:
        inputs: What it is made of.
        config: How to split.
        folder: Where to write; empty or not there.
        name: What the dataset is called.

    Returns:
        The content of `dataset.json`.

    Raises:
        EmptySourceError: No usable image is left.
        ClassMapError: One class only is left.
        SplitError: The images cannot be split as configured.
        StorageError: The disk is full.
    """
    with explain_storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    images = select_images(inputs.decoded, inputs.rejections, config=config, claimed=inputs.claimed)
    plan, warnings = plan_splits(images.places, images.clusters[images.kept], config=config)
    manifest = _write_images(folder, plan, inputs.decoded)
    _write_left_out(folder, images)
    present = set(manifest["class_name"])
    record = DatasetRecord(
        name=name,
        source=inputs.source_name,
        class_names=tuple(name for name in inputs.class_names if name in present),
        images=images.counts,
        counts=_count_images(manifest),
        patients_unknown_share=float((manifest["patient_id"] == "").mean()),
        preprocessing=_measure(folder, manifest, build_preprocessing(config)),
        config=config,
        versions=list_versions(),
        files={},
        dataset_hash="",
        warnings=(*inputs.warnings, *images.describe(), *warnings),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    seal_record(folder, record)
    files = {path.name: compute_sha256(path) for path in sorted(folder.iterdir())}
    hashes = {"files": files, "dataset_hash": compute_dataset_hash(files)}
    record = record.model_copy(update=hashes)
    start_access_log(folder / ACCESS_LOG_NAME)
    write_dataset_record(folder, record)
    return record


def _write_images(folder: Path, plan: SplitPlan, decoded: DecodedFolder) -> pd.DataFrame:
    write_image_arrays(folder / IMAGES_NAME, "images", plan.places, decoded)
    write_image_arrays(folder / FINGERPRINTS_NAME, "fingerprints", plan.places, decoded)
    manifest = plan.build_manifest(
        lung_mask_rows=write_image_arrays(
            folder / LUNG_MASKS_NAME, "lung_masks", plan.places, decoded
        ),
        lesion_mask_rows=write_image_arrays(
            folder / LESION_MASKS_NAME, "lesion_masks", plan.places, decoded
        ),
    )
    write_manifest(folder / MANIFEST_NAME, manifest)
    write_text(folder / ROW_HASHES_NAME, "\n".join(compute_row_hashes(manifest)) + "\n")
    return manifest


def _write_left_out(folder: Path, images: SelectedImages) -> None:
    """Write `rejected.csv` and `conflicts.csv`, with their header alone where there is nothing."""
    names = [field.name for field in fields(Rejection)]
    rejections = (map(make_printable, astuple(row)) for row in images.rejections)
    write_safe_csv(folder / REJECTED_NAME, names, rejections)
    kept = set(images.kept.tolist())
    rows = sorted(
        (
            int(images.clusters[row]),
            make_printable(place.record.image_id),
            place.record.class_name,
            row in kept,
        )
        for row, place in enumerate(images.decoded)
        if images.conflicts[row]
    )
    write_safe_csv(
        folder / CONFLICTS_NAME,
        ("cluster_id", "image_id", "class_name", "kept"),
        ((cluster, image, name, "yes" if stays else "no") for cluster, image, name, stays in rows),
    )


def _count_images(manifest: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    columns = (manifest[name] for name in ("class_name", "split", "source"))
    for name, split, source in zip(*columns, strict=True):
        by_source = counts.setdefault(name, {}).setdefault(split, {})
        by_source[source] = by_source.get(source, 0) + 1
    return counts


def _measure(folder: Path, manifest: pd.DataFrame, preprocessing: Preprocessing) -> Preprocessing:
    """Measure mean and standard deviation over the pixels of the training images, exactly.

    An external test set has no training images, and nothing may be learned from it.
    """
    in_training = (manifest["split"] == "train").to_numpy()
    if not in_training.any():
        return preprocessing
    histogram = np.zeros(256, dtype=np.int64)
    with open_image_array(folder / IMAGES_NAME) as array_file:
        for start, images in array_file.read_chunks():
            chosen = images[in_training[start : start + len(images)]]
            histogram += count_levels(chosen)
    return complete_preprocessing(preprocessing, histogram)
