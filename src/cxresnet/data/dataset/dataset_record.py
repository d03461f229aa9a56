"""`dataset.json`: what a dataset is. It is written last, so its presence means a whole dataset."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import logging
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cxresnet import DISCLAIMER, __version__
from cxresnet.core.checksums import FileState, compare_checksum
from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.core.files import read_json, write_text
from cxresnet.core.record import Record, compare_format, write_record
from cxresnet.data.prepare.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

RECORD_NAME = "dataset.json"
MANIFEST_NAME = "manifest.csv"
IMAGES_NAME = "images.npy"
ROW_HASHES_NAME = "row_hashes.txt"
ACCESS_LOG_NAME = "test_access_log.csv"
FINGERPRINTS_NAME = "fingerprints.npy"
LUNG_MASKS_NAME = "lung_masks.npy"
LESION_MASKS_NAME = "lesion_masks.npy"
REJECTED_NAME = "rejected.csv"
CONFLICTS_NAME = "conflicts.csv"

_FORMAT = 2
"""1: version 0.1, with other names for columns and preprocessing steps."""

_NOT_SEALED = {
    "format", "disclaimer", "name", "versions", "files", "dataset_hash", "created_utc",
}  # fmt: skip
_OF_THE_MACHINE = {"workers", "decode_memory_mib", "decode_seconds"}

_PACKAGES = ("numpy", "pillow", "pandas", "pydicom")


class ImageCounts(Record):
    """Where every scanned image went: `scanned` = `rejected` + `conflicting` + `kept`.

    Attributes:
        scanned: Found in the source.
        rejected: Could not be used; each is listed in `rejected.csv`.
        conflicting: Left out because a near-duplicate has another class; each in `conflicts.csv`.
        kept: Rows of the manifest.
    """

    scanned: int
    rejected: int
    conflicting: int
    kept: int

    @property
    def left_out(self) -> int:
        """Images that are not in the dataset, for whatever reason."""
        return self.scanned - self.kept


class DatasetRecord(Record):
    """What a prepared dataset is, and where it came from.

    Attributes:
        format: Version of the layout.
        disclaimer: What it may not be used for.
        name: Of the folder.
        source: Name of the source.
        class_names: In the order of every logit.
        images: Where every scanned image went.
        counts: Images by class, then split, then source.
        patients_unknown_share: Share of the images without a patient id, 0 to 1.
        preprocessing: The pipeline, with mean and sd of the training images.
        config: All choices.
        versions: Of Python and of the packages that matter.
        files: SHA-256 of every file of the dataset except this one and the test access log.
        dataset_hash: Of manifest and images: what a checkpoint was trained on.
        warnings: Shown to the user while preparing.
        created_utc: ISO 8601.
    """

    format: int = _FORMAT
    disclaimer: str = DISCLAIMER
    name: str
    source: str
    class_names: tuple[str, ...]
    images: ImageCounts
    counts: dict[str, dict[str, dict[str, int]]]
    patients_unknown_share: float
    preprocessing: Preprocessing
    config: DataConfig
    versions: dict[str, str]
    files: dict[str, str]
    dataset_hash: str
    warnings: tuple[str, ...]
    created_utc: str


def write_dataset_record(folder: Path, record: DatasetRecord) -> Path:
    """Write `dataset.json` whole or not at all, with its checksum; returns its path."""
    return write_record(folder / RECORD_NAME, record)


def read_dataset_record(folder: Path) -> DatasetRecord:
    """Read `dataset.json`.

    Raises:
        DatasetError: There is no dataset, it was altered, or another version prepared it.
    """
    record = parse_dataset_record(folder)
    state = compare_record(folder)
    if FileState.ALTERED in {state, compare_seal(folder)}:
        raise DatasetError(
            f"'{folder / RECORD_NAME}' was altered after it was written, so the classes of the "
            "dataset cannot be trusted. Restore it, or prepare the dataset again."
        )
    if state is FileState.UNRECORDED:
        _warn_of_unrecorded(folder.absolute())
    return record


def compare_record(folder: Path) -> FileState:
    """Compare `dataset.json` with its checksum.

    Raises:
        DatasetError: The checksums are damaged.
    """
    try:
        return compare_checksum(folder / RECORD_NAME)
    except RunFolderError as error:
        raise DatasetError(str(error)) from error


def seal_record(folder: Path, record: DatasetRecord) -> None:
    """Add a hash of what a dataset means to `row_hashes.txt`.

    Whoever edits `dataset.json` and mends its checksum is found by it.

    Args:
        folder: With `row_hashes.txt`.
        record: What will be in `dataset.json`; hashes of files and the time are not sealed.
    """
    path = folder / ROW_HASHES_NAME
    seal = _compute_seal(record.model_dump(mode="json"))
    write_text(path, f"{path.read_text(encoding='ascii')}{seal}  {RECORD_NAME}\n")


def read_seals(folder: Path) -> tuple[list[str], str | None]:
    """Read the hashes of the manifest's rows, and the seal; None if an earlier version wrote them.

    Raises:
        DatasetError: `row_hashes.txt` is missing or cannot be read.
    """
    try:
        words = (folder / ROW_HASHES_NAME).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{ROW_HASHES_NAME} is missing or cannot be read, so no row can be checked."
        ) from error
    return (words[:-2], words[-2]) if words[-1:] == [RECORD_NAME] else (words, None)


def compare_seal(folder: Path) -> FileState:
    """Compare what `dataset.json` says of classes, preprocessing and config with its seal.

    Raises:
        DatasetError: One of the two cannot be read.
    """
    seal = read_seals(folder)[1] if (folder / ROW_HASHES_NAME).is_file() else None
    if seal is None:
        return FileState.UNRECORDED
    try:
        found = _compute_seal(read_json(folder / RECORD_NAME))
    except (OSError, ValueError) as error:
        raise DatasetError(f"'{folder / RECORD_NAME}' cannot be read ({error}).") from error
    return FileState.UNALTERED if found == seal else FileState.ALTERED


def _compute_seal(document: Any) -> str:
    """Hash what a dataset means: the same however, when and under which name it was prepared."""
    meaning = {name: value for name, value in document.items() if name not in _NOT_SEALED}
    config = meaning["config"].items()
    meaning["config"] = {name: value for name, value in config if name not in _OF_THE_MACHINE}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode("ascii")).hexdigest()


@functools.cache
def _warn_of_unrecorded(folder: Path) -> None:
    """Warn once a process: an earlier version prepared the dataset, or the checksum is gone."""
    _logger.warning(
        "The dataset '%s' has no checksum of its dataset.json, so it is not known whether its "
        "classes were altered. If you trust it: 'cxresnet verify %s --record-checksums'.",
        folder,
        folder,
    )


def parse_dataset_record(folder: Path) -> DatasetRecord:
    """Read `dataset.json` without comparing it with its checksum.

    Raises:
        DatasetError: There is no dataset, or another version prepared it.
    """
    path = folder / RECORD_NAME
    try:
        content = path.read_bytes()
        _require_this_format(content, folder)
        return DatasetRecord.model_validate_json(content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"'{folder}' is not a prepared dataset: it has no {RECORD_NAME}. "
            "Make one with 'cxresnet prepare SOURCE --out DATASET'."
        ) from error
    except (OSError, ValidationError) as error:
        first: Any = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise DatasetError(
            f"'{path}' cannot be read ({first}). Prepare the dataset again with this version."
        ) from error


def _require_this_format(content: bytes, folder: Path) -> None:
    difference = compare_format(content, DatasetRecord)
    if difference < 0:
        raise DatasetError(
            f"The dataset '{folder}' was prepared by version 0.1; prepare it again with 'cxresnet "
            f"prepare SOURCE --out {folder} --force'. Its test access log is carried over."
        )
    if difference > 0:
        raise DatasetError(
            f"The dataset '{folder}' was prepared by a newer version. Update cxresnet to read it."
        )


def names_other_classes(record: DatasetRecord, present: Iterable[str]) -> bool:
    """Say whether `dataset.json` has other classes than the rows of its manifest."""
    return sorted(record.class_names) != sorted(set(present))


def compute_dataset_hash(files: dict[str, str]) -> str:
    """Compute the hash of a dataset from the hashes of its manifest and its images."""
    text = "\n".join(f"{files.get(name, '')}  {name}" for name in (MANIFEST_NAME, IMAGES_NAME))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def list_versions() -> dict[str, str]:
    """List the versions that the images and the split depend on."""
    versions = {"cxresnet": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
