"""From decoded films to a dataset: sorted out, split, written in order, measured, recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from cxresnet.core.config.data import DataConfig
from cxresnet.core.files import compute_sha256, explain_storage_errors, write_text
from cxresnet.data.dataset_record import (
    CONFLICTS_NAME,
    FINGERPRINTS_NAME,
    IMAGES_NAME,
    LEDGER_NAME,
    LESION_MASKS_NAME,
    LUNG_MASKS_NAME,
    MANIFEST_NAME,
    REJECTED_NAME,
    ROW_HASHES_NAME,
    DatasetRecord,
    compute_dataset_hash,
    list_versions,
    write_dataset_record,
)
from cxresnet.data.decoded_films import write_pictures
from cxresnet.data.decoded_folder import DecodedFolder
from cxresnet.data.film_file import open_film_file
from cxresnet.data.film_plan import FilmPlan, plan_films
from cxresnet.data.manifest import compute_row_hashes, write_manifest
from cxresnet.data.preprocess import (
    Preprocessing,
    build_preprocessing,
    complete_preprocessing,
    count_levels,
)
from cxresnet.data.safe_csv import write_safe_csv
from cxresnet.data.sealed_test import start_ledger
from cxresnet.data.sorting import SortedFilms, sort_films
from cxresnet.data.sources.source import Rejection

__all__ = ["Materials", "assemble_dataset"]


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What a dataset is made of.

    Attributes:
        source_name: Where the films come from.
        class_names: All classes of the source's map, in order.
        folders: Decoded films: one folder, or one a shard.
        rejections: Left out while scanning.
        notices: What the source had to say.
    """

    source_name: str
    class_names: tuple[str, ...]
    folders: tuple[DecodedFolder, ...]
    rejections: tuple[Rejection, ...] = ()
    notices: tuple[str, ...] = ()


def assemble_dataset(
    materials: Materials, *, config: DataConfig, folder: Path, name: str
) -> DatasetRecord:
    """Write a dataset into a folder; `dataset.json` comes last.

    Args:
        materials: What it is made of.
        config: How to split.
        folder: Where to write; empty or not there.
        name: What the dataset is called.

    Returns:
        What `dataset.json` says.

    Raises:
        EmptySourceError: No usable film is left.
        ClassMapError: One class only is left.
        SplitError: The films cannot be split as asked.
        StorageError: The disk is full.
    """
    with explain_storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    films = sort_films(materials.folders, materials.rejections, config=config)
    plan, notices = plan_films(films.places, films.clusters[films.kept], config=config)
    manifest = _write_films(folder, plan, materials.folders)
    _write_left_out(folder, films)
    files = {path.name: compute_sha256(path) for path in sorted(folder.iterdir())}
    start_ledger(folder / LEDGER_NAME)
    present = set(manifest["class_name"])
    record = DatasetRecord(
        name=name,
        source=materials.source_name,
        class_names=tuple(name for name in materials.class_names if name in present),
        films=films.counts,
        counts=_count_films(manifest),
        patients_unknown_share=float((manifest["patient_id"] == "").mean()),
        preprocessing=_measure(folder, manifest, build_preprocessing(config)),
        config=config,
        versions=list_versions(),
        files=files,
        dataset_hash=compute_dataset_hash(files),
        notices=(*materials.notices, *films.describe(), *notices),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_dataset_record(folder, record)
    return record


def _write_films(folder: Path, plan: FilmPlan, decoded: Sequence[DecodedFolder]) -> pd.DataFrame:
    write_pictures(folder / IMAGES_NAME, "films", plan.places, decoded)
    write_pictures(folder / FINGERPRINTS_NAME, "fingerprints", plan.places, decoded)
    manifest = plan.build_manifest(
        lung_mask_rows=write_pictures(folder / LUNG_MASKS_NAME, "lung_masks", plan.places, decoded),
        lesion_mask_rows=write_pictures(
            folder / LESION_MASKS_NAME, "lesion_masks", plan.places, decoded
        ),
    )
    write_manifest(folder / MANIFEST_NAME, manifest)
    write_text(folder / ROW_HASHES_NAME, "\n".join(compute_row_hashes(manifest)) + "\n")
    return manifest


def _write_left_out(folder: Path, films: SortedFilms) -> None:
    """Write `rejected.csv` and `conflicts.csv`, with their header alone where there is nothing."""
    names = [field.name for field in fields(Rejection)]
    write_safe_csv(folder / REJECTED_NAME, names, (astuple(row) for row in films.rejections))
    kept = set(films.kept.tolist())
    rows = sorted(
        (int(films.clusters[row]), place.record.image_id, place.record.class_name, row in kept)
        for row, place in enumerate(films.decoded)
        if films.conflicts[row]
    )
    write_safe_csv(
        folder / CONFLICTS_NAME,
        ("cluster_id", "image_id", "class_name", "kept"),
        ((cluster, image, name, "yes" if stays else "no") for cluster, image, name, stays in rows),
    )


def _count_films(manifest: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    counts: dict[str, dict[str, dict[str, int]]] = {}
    columns = (manifest[name] for name in ("class_name", "split", "source"))
    for name, split, source in zip(*columns, strict=True):
        by_source = counts.setdefault(name, {}).setdefault(split, {})
        by_source[source] = by_source.get(source, 0) + 1
    return counts


def _measure(folder: Path, manifest: pd.DataFrame, preprocessing: Preprocessing) -> Preprocessing:
    """Measure mean and standard deviation over the pixels of the training films, exactly.

    An outside set has no training films, and nothing of it may be learned.
    """
    in_training = (manifest["split"] == "train").to_numpy()
    if not in_training.any():
        return preprocessing
    histogram = np.zeros(256, dtype=np.int64)
    with open_film_file(folder / IMAGES_NAME) as images:
        for start, films in images.read_chunks():
            chosen = films[in_training[start : start + len(films)]]
            histogram += count_levels(chosen)
    return complete_preprocessing(preprocessing, histogram)
