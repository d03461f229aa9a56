"""`dataset.json`: what a dataset is. Written last; where it stands, the dataset is whole."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet import DISCLAIMER, __version__
from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.files import write_text
from cxresnet.data.preprocess import Preprocessing

__all__ = [
    "CONFLICTS_NAME",
    "FINGERPRINTS_NAME",
    "IMAGES_NAME",
    "LEDGER_NAME",
    "LESION_MASKS_NAME",
    "LUNG_MASKS_NAME",
    "MANIFEST_NAME",
    "RECORD_NAME",
    "REJECTED_NAME",
    "ROW_HASHES_NAME",
    "DatasetRecord",
    "FilmCounts",
    "compute_dataset_hash",
    "list_versions",
    "read_dataset_record",
    "write_dataset_record",
]

RECORD_NAME = "dataset.json"
MANIFEST_NAME = "manifest.csv"
IMAGES_NAME = "images.npy"
ROW_HASHES_NAME = "row_hashes.txt"
LEDGER_NAME = "test_openings.csv"
FINGERPRINTS_NAME = "fingerprints.npy"
LUNG_MASKS_NAME = "lung_masks.npy"
LESION_MASKS_NAME = "lesion_masks.npy"
REJECTED_NAME = "rejected.csv"
CONFLICTS_NAME = "conflicts.csv"

_FORMAT = 1
_PACKAGES = ("numpy", "pillow", "pandas", "pydicom")


class FilmCounts(BaseModel):
    """Where every scanned film went: `scanned` = `rejected` + `conflicting` + `kept`.

    Attributes:
        scanned: Found in the source.
        rejected: Could not be used; each stands in `rejected.csv`.
        conflicting: Left out since a copy stands under another class; each in `conflicts.csv`.
        kept: Rows of the manifest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scanned: int
    rejected: int
    conflicting: int
    kept: int


class DatasetRecord(BaseModel):
    """What a prepared dataset is, and where it came from.

    Attributes:
        format: Version of the layout.
        disclaimer: What it may not be used for.
        name: Of the folder.
        source: Name of the source.
        class_names: In the order of every logit.
        films: Where every scanned film went.
        counts: Films by class, then split, then source.
        patients_unknown_share: Share of the films without a patient id, 0 to 1.
        preprocessing: The road, with mean and sd of the training films.
        config: All choices.
        versions: Of Python and of the packages that matter.
        files: SHA-256 of every file of the dataset but this one and the ledger of test openings.
        dataset_hash: Of manifest and images: what a checkpoint was trained on.
        notices: What the user was told while preparing.
        created_utc: ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = _FORMAT
    disclaimer: str = DISCLAIMER
    name: str
    source: str
    class_names: tuple[str, ...]
    films: FilmCounts
    counts: dict[str, dict[str, dict[str, int]]]
    patients_unknown_share: float
    preprocessing: Preprocessing
    config: DataConfig
    versions: dict[str, str]
    files: dict[str, str]
    dataset_hash: str
    notices: tuple[str, ...]
    created_utc: str


def write_dataset_record(folder: Path, record: DatasetRecord) -> Path:
    """Write `dataset.json` whole or not at all; returns its path."""
    return write_text(folder / RECORD_NAME, record.model_dump_json(indent=2) + "\n")


def read_dataset_record(folder: Path) -> DatasetRecord:
    """Read `dataset.json`.

    Raises:
        DatasetError: There is no dataset, or it is of another version.
    """
    path = folder / RECORD_NAME
    try:
        return DatasetRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"'{folder}' is no prepared dataset: it has no {RECORD_NAME}. "
            "Make one with 'cxresnet prepare SOURCE --out DATASET'."
        ) from error
    except (OSError, ValidationError) as error:
        first: Any = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DatasetError(
            f"'{path}' cannot be read ({first}). Prepare the dataset again with this version."
        ) from error


def compute_dataset_hash(files: dict[str, str]) -> str:
    """Compute the hash of a dataset from the hashes of its manifest and its images."""
    text = "\n".join(f"{files[name]}  {name}" for name in (MANIFEST_NAME, IMAGES_NAME))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def list_versions() -> dict[str, str]:
    """List the versions that the films and the split depend on."""
    versions = {"cxresnet": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
