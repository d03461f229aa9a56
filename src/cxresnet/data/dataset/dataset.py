"""A prepared dataset, opened: images by split; the test set is locked."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import DatasetError, HeldOutTestError
from cxresnet.core.files import compute_sha256
from cxresnet.core.finding import describe_stamp, read_findings
from cxresnet.data.dataset.dataset_record import (
    ACCESS_LOG_NAME,
    IMAGES_NAME,
    LESION_MASKS_NAME,
    LUNG_MASKS_NAME,
    MANIFEST_NAME,
    RECORD_NAME,
    ROW_HASHES_NAME,
    DatasetRecord,
    compute_dataset_hash,
    names_other_classes,
    read_dataset_record,
)
from cxresnet.data.dataset.held_out import AccessRequest, log_access
from cxresnet.data.manifest import read_manifest
from cxresnet.data.prepare.preprocessing import Preprocessing

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ImageSet:
    """Some images of a dataset, with what is known about them.

    Attributes:
        images: (n, side, side), 0 to 255; for a split on the disk and read as it is used.
        labels: (n,), index into the dataset's class names.
        manifest: n rows, in the order of `images`, numbered from 0.
    """

    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    manifest: pd.DataFrame = field(repr=False)
    _lung_masks: NDArray[np.uint8] | None = field(default=None, repr=False)
    _lesion_masks: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def lung_mask(self, number: int) -> NDArray[np.uint8] | None:
        """Get the lung mask of image `number`: (side, side), 0 or 255; None if there is none."""
        return _get_mask(self._lung_masks, self.manifest["lung_mask_row"].iloc[number])

    def lesion_mask(self, number: int) -> NDArray[np.uint8] | None:
        """Get the lesion mask of image `number`: (side, side), 0 or 255; None if there is none."""
        return _get_mask(self._lesion_masks, self.manifest["lesion_mask_row"].iloc[number])


@dataclass(frozen=True)
class PreparedDataset:
    """A folder that `prepare` wrote.

    Attributes:
        path: The folder.
        record: The content of `dataset.json`.
        manifest: All rows, also those of the test set; which images are in it is no secret.
    """

    path: Path
    record: DatasetRecord
    manifest: pd.DataFrame = field(repr=False)
    _images: NDArray[np.uint8] = field(repr=False)
    _checked: set[int] = field(default_factory=set, repr=False, compare=False)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of every logit."""
        return self.record.class_names

    @property
    def preprocessing(self) -> Preprocessing:
        """The pipeline of every image, with mean and sd of the training images."""
        return self.record.preprocessing

    @property
    def dataset_hash(self) -> str:
        """Hash over manifest and images."""
        return self.record.dataset_hash

    @property
    def verdict(self) -> str:
        """What predicts the class according to the audit, in one sentence; "" if there is none."""
        return describe_stamp(read_findings(self.path))

    def select(self, split: Literal["train", "val"] | str) -> ImageSet:
        """Select the images of a split, once each is known to be as it was prepared.

        Args:
            split: "train" or "val".

        Raises:
            HeldOutTestError: `split` is "test".
            DatasetError: There is no such split, or an image of it was altered.
        """
        if split == "test":
            raise HeldOutTestError(
                "The test set is locked: choices are made on validation. "
                "'cxresnet evaluate' opens it once the network is chosen, and records the access."
            )
        return self._take_split(split)

    def select_fold(self, fold: int, role: Literal["train", "val"]) -> ImageSet:
        """Select images for cross-validation; the test split stays out of every fold.

        Args:
            fold: 0 and up.
            role: "val" for the fold itself, "train" for all others, which are read into memory.

        Raises:
            DatasetError: The dataset has no such fold, or an image of it was altered.
        """
        folds = self.manifest["fold"].to_numpy()
        if fold < 0 or not (folds == fold).any():
            raise DatasetError(
                f"The dataset has no fold {fold}; it has {folds.max() + 1} folds. "
                "Prepare it again with --set data.folds=5."
            )
        chosen = folds == fold if role == "val" else (folds != fold) & (folds >= 0)
        return self._take(np.flatnonzero(chosen))

    def open_held_out_test(self, access_request: AccessRequest) -> ImageSet:
        """Open the test set, and record when, why, for which run and under which config.

        Every image is compared with the hash that its row got when it was prepared.

        Args:
            access_request: Who opens it; every field but the network must be given.

        Raises:
            HeldOutTestError: The reason, the run or the config is missing.
            DatasetError: There is no test set, or an image of it or the access log was altered.
            StorageError: The access cannot be recorded, so the test set stays locked.
        """
        for name in ("reason", "run", "config"):
            if not getattr(access_request, name).strip():
                raise HeldOutTestError(
                    f"The test set is opened only for a stated purpose: give a {name}."
                )
        test = self._take_split("test")
        log_access(self.path / ACCESS_LOG_NAME, access_request, dataset_hash=self.dataset_hash)
        return test

    def _require_unaltered_images(self, rows: Iterable[int]) -> None:
        """Compare images with the hashes in their rows, each once while the dataset is open."""
        expected = self.manifest["pixels_sha256"].tolist()
        for row in rows:
            if row in self._checked:
                continue
            if hashlib.sha256(self._images[row].data).hexdigest() != expected[row]:
                raise DatasetError(
                    f"The image '{self.manifest['image_id'].iloc[row]}' was altered after the "
                    f"dataset was prepared. 'cxresnet verify {self.path}' lists all problems; "
                    "then prepare it again."
                )
            self._checked.add(row)

    def _take_split(self, split: str) -> ImageSet:
        rows = np.flatnonzero((self.manifest["split"] == split).to_numpy())
        if not len(rows) and self.record.config.external_test:
            raise DatasetError(
                f"'{self.path}' is an external test set: all its images are for testing a network "
                "that was trained elsewhere. To train on it, prepare it again without "
                "--external-test."
            )
        if not len(rows):
            raise DatasetError(
                f"The dataset has no {split} split. Prepare it again with a {split} share above 0."
            )
        return self._take(rows)

    def _take(self, rows: NDArray[np.intp]) -> ImageSet:
        self._require_unaltered_images(rows.tolist())
        manifest = self.manifest.iloc[rows].reset_index(drop=True)
        numbers = {name: number for number, name in enumerate(self.class_names)}
        first, last = int(rows[0]), int(rows[-1])
        in_a_row = last - first + 1 == len(rows)
        return ImageSet(
            images=self._images[first : last + 1] if in_a_row else self._images[rows],
            labels=np.array([numbers[name] for name in manifest["class_name"]], dtype=np.int64),
            manifest=manifest,
            _lung_masks=_map(self.path / LUNG_MASKS_NAME),
            _lesion_masks=_map(self.path / LESION_MASKS_NAME),
        )


def open_dataset(path: Path) -> PreparedDataset:
    """Open a prepared dataset; images stay on the disk until they are used.

    Args:
        path: The folder that `prepare` wrote.

    Raises:
        DatasetError: It is no dataset, not whole, or its record or manifest was altered.
    """
    record = read_dataset_record(path)
    manifest_path = path / MANIFEST_NAME
    manifest = read_manifest(manifest_path)
    for name in (MANIFEST_NAME, ROW_HASHES_NAME):
        _require_file(path / name, record.files.get(name))
    _require_consistency(record, manifest, path=path)
    images = _map(path / IMAGES_NAME)
    if images is None or images.shape[0] != len(manifest):
        raise DatasetError(
            f"'{path / IMAGES_NAME}' is missing or cut off. Prepare the dataset again."
        )
    return PreparedDataset(path, record, manifest, images)


def _require_file(path: Path, expected: str | None) -> None:
    """Refuse a file that is not as `dataset.json` has it; what it does not list is not needed."""
    if expected and not (path.is_file() and compute_sha256(path) == expected):
        raise DatasetError(
            f"'{path}' was altered or removed after it was written. "
            f"'cxresnet verify {path.parent}' says what differs; then prepare the dataset again."
        )


def _require_consistency(record: DatasetRecord, manifest: pd.DataFrame, *, path: Path) -> None:
    """Refuse a `dataset.json` that states another hash than that of its files, or other classes.

    Raises:
        DatasetError: It was edited.
    """
    is_other = compute_dataset_hash(record.files) != record.dataset_hash
    if is_other or names_other_classes(record, manifest["class_name"]):
        raise DatasetError(
            f"'{path / RECORD_NAME}' states another hash or other classes than those of its "
            f"{MANIFEST_NAME}: one of the two was altered. Prepare the dataset again."
        )


def _map(path: Path) -> NDArray[np.uint8] | None:
    """Map a file of images into memory, read-only; None where there is none."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, SyntaxError, RuntimeError, TokenError) as error:
        raise DatasetError(f"'{path}' cannot be read ({error}). Prepare again.") from error
    if not isinstance(images, np.memmap) or images.dtype != np.uint8 or images.ndim != 3:
        raise DatasetError(f"'{path}' holds no 8-bit images. Prepare the dataset again.")
    return images.view(_WatchedMap)


class _WatchedMap(np.memmap[Any, np.dtype[np.uint8]]):
    """Images on the disk, whose file is looked at before each reading.

    Reading a memory map beyond the end of a file that was cut off meanwhile ends the process, and
    Python cannot say why. Asking for the size costs little beside reading a batch.
    """

    _mmap: mmap.mmap | None  # of NumPy: None for a copy in memory

    def __getitem__(self, index: Any) -> Any:
        """Read some images.

        Raises:
            DatasetError: The file was cut off or removed since it was opened.
        """
        if self._mmap is None:
            return super().__getitem__(index)
        try:
            size = Path(str(self.filename)).stat().st_size
        except OSError:
            size = 0
        if size < len(self._mmap):
            raise DatasetError(
                f"'{self.filename}' was cut off or removed while it was in use. Prepare the "
                "dataset again."
            )
        found = super().__getitem__(index)
        is_copy = isinstance(found, np.memmap) and getattr(found, "_mmap", None) is None
        return found.view(np.ndarray) if is_copy else found


def _get_mask(masks: NDArray[np.uint8] | None, row: int) -> NDArray[np.uint8] | None:
    return None if masks is None or row < 0 else np.asarray(masks[row])
