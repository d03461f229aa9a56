"""The interface of a source of images, and what all sources share."""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ClassMapError, EmptySourceError, SourceError
from cxresnet.core.labels import fold_label
from cxresnet.data.manifest import ImageRecord


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One image that is left out, and why: a row of `rejected.csv`.

    Attributes:
        image_id: As in `ImageRecord`.
        class_name: Where known, else "".
        code: One short word, as `ImageError.code`.
        reason: One sentence.
    """

    image_id: str
    class_name: str
    code: str
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What a scan found: the images, what it left out, and what the user should hear.

    Attributes:
        records: In a stable order, sorted by `image_id`.
        rejections: Left out already while scanning (not an image, label not a number, …).
        warnings: Sentences for the user, for example that a manifest beside the folder was used.
        classes: Classes that a folder or label claims; each should have an image in the end.
        has_pseudonyms: Patients and files have pseudonyms, because some of them are DICOM.
    """

    records: tuple[ImageRecord, ...]
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    classes: tuple[str, ...] = ()
    has_pseudonyms: bool = False


class AbstractSource(ABC):
    """A place where images come from.

    Instances can be pickled: images are read in worker processes. Opening files happens in `read`,
    not in `__init__`.

    Attributes:
        any_body_part: Decode radiographs of any part of the body; see `decode_image`.
    """

    any_body_part: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables and messages, for example the folder's name."""

    @property
    @abstractmethod
    def class_map(self) -> ClassMap:
        """Which labels mean which class."""

    @abstractmethod
    def scan(self) -> ScanResult:
        """List the images without decoding them.

        Raises:
            EmptySourceError: There is no image.
            ClassMapError: A folder or label that no class claims.
        """

    @abstractmethod
    def read(self, location: str) -> bytes | NDArray[np.uint8]:
        """Read one image or mask: the bytes of its file, or its pixels where there is no file.

        Args:
            location: Of an `ImageRecord`.

        Returns:
            Encoded bytes for `data/decode/decoder.py`, or grey levels 0 to 255, (height, width).

        Raises:
            ImageError: The image is gone or cannot be read.
        """


# Names of folders, and cells of tables, that say which split.


_SPLITS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "valset": "val",
    "test": "test", "testing": "test", "testset": "test",
}  # fmt: skip


def read_split(text: str) -> str:
    """Read "Training", "valid" or "test" as "train", "val" or "test"; "" for anything else."""
    return _SPLITS.get(re.sub(r"[\W\d_]+", "", text.casefold()), "")


# Stores: files under relative names, in a folder in `folder_store.py`, in an archive in
# `archive.py`.
#
# Layouts (class folders, tables, dataset presets) read from a store and never from the disk, so
# that each of them works for folders and archives.


MAX_FILE_BYTES = 512 * 2**20
"""A larger file is no image; it is refused before it is read."""

HEAD_BYTES = 132
"""So many bytes tell what a file is."""


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes:
        members: Relative names with "/" between the parts, sorted; hidden files are left out.
        rejections: What is there but will not be read: links that lead out, pipes, devices.
        empty_folders: Folders with nothing in them.
    """

    members: tuple[str, ...]
    rejections: tuple[Rejection, ...] = ()
    empty_folders: tuple[str, ...] = ()

    def find_classes(self, class_map: ClassMap) -> tuple[str, ...]:
        """List the classes that folders and archives claim, whether or not an image is in them."""
        found: set[str] = set()
        for path in {_name_folder(member) for member in self.members}.union(
            (_ARCHIVE.sub("", row.image_id) for row in self.rejections), self.empty_folders
        ):
            claims = [claim for claim in map(class_map.find, path.split("/")) if claim is not None]
            found.update(claims[-1:] if "" not in claims else ())
        return tuple(sorted(found))


_ARCHIVE = re.compile(r"\.(zip|rar|7z|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)


def is_packed_name(name: str) -> bool:
    """Say whether a file name ends like that of an archive, whether or not we can read it."""
    return bool(_ARCHIVE.search(name))


def _name_folder(member: str) -> str:
    """Name the folder of a file; of an archive that is a file here, the folder that it would be."""
    return _ARCHIVE.sub("", member) if is_packed_name(member) else member.rpartition("/")[0]


class AbstractStore(ABC):
    """Files under relative names. Instances can be pickled; nothing stays open in them."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables and messages."""

    @abstractmethod
    def list_members(self) -> Listing:
        """List every file that is not hidden.

        Raises:
            SourceError: The store cannot be read at all.
        """

    @abstractmethod
    def find_member(self, path: str) -> str:
        """Find the member that a path means; "" if there is none.

        Raises:
            UnsafePathError: The path leads out of the store.
        """

    def make_relative(self, path: str) -> str:
        """Take the place of the store away from a path that begins with it."""
        return path

    @abstractmethod
    def read_member(self, member: str) -> bytes:
        """Read one file whole.

        Raises:
            ImageError: "missing", "unreadable" or "too-large".
            UnsafePathError: The member leads out of the store.
        """

    def open_member(self, member: str) -> BinaryIO:
        """Open one file for reading; raises as `read_member`, or an `OSError`."""
        return io.BytesIO(self.read_member(member))

    def read_head(self, member: str) -> bytes:
        """Read the first `HEAD_BYTES` of a file; raises as `open_member`."""
        with self.open_member(member) as stream:
            return stream.read(HEAD_BYTES)


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is one that systems leave behind, not people."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


# Sources that read files: a store, a class map, and the final checks.


class AbstractStoredSource(AbstractSource):
    """Images in a store; a location is a member of it.

    Attributes:
        store: Where the files are.
        require_two_classes: False where other sources are joined to this one: a single class is
            then no error.
        known_images: Members that are images whatever their name says.
    """

    known_images: Container[str] = ()

    def __init__(
        self, store: AbstractStore, class_map: ClassMap, *, require_two_classes: bool
    ) -> None:
        self.store = store
        self.require_two_classes = require_two_classes
        self._class_map = class_map

    @property
    def name(self) -> str:
        """Name of the folder, table or archive."""
        return self.store.name

    @property
    def class_map(self) -> ClassMap:
        """Which labels mean which class."""
        return self._class_map

    def read(self, location: str) -> bytes:
        """Read one image or mask; see `AbstractSource`.

        Raises:
            ImageError: The file is gone or cannot be read.
            UnsafePathError: The location leads out of the store.
        """
        return self.store.read_member(location)

    def scan(self) -> ScanResult:
        """List the images, sorted, each id once.

        Raises:
            EmptySourceError: There is no image.
            ClassMapError: A label that no class claims; or a single class, where nothing is joined.
        """
        found = self.list_records()
        records = tuple(sorted(found.records, key=lambda record: record.image_id))
        _check_ids(records, name=self.name)
        if not records:
            raise EmptySourceError(explain_empty(self.name, found.rejections))
        if self.require_two_classes:
            check_classes(records, self.class_map, name=self.name, claimed=found.classes)
        return replace(found, records=records)

    @abstractmethod
    def list_records(self) -> ScanResult:
        """Bring the store's files into records, in any order."""


def check_classes(
    records: tuple[ImageRecord, ...],
    class_map: ClassMap,
    *,
    name: str,
    claimed: tuple[str, ...] = (),
) -> None:
    """Refuse images of a single class, unless others are `claimed`.

    What became of those is told by `require_classes`, which knows what was left out, and why.

    Raises:
        ClassMapError: Fewer than two classes.
    """
    classes = {record.class_name for record in records}
    if len(classes.union(claimed)) < 2:
        raise ClassMapError(
            f"'{name}' has images of one class only: {', '.join(sorted(classes))}. "
            "Add a source with other classes, name the class of each folder or label with "
            f"--classes ({', '.join(class_map.class_names)}), or use --external-test to test a "
            "network that was trained elsewhere."
        )


def explain_empty(name: str, rejections: tuple[Rejection, ...]) -> str:
    """Describe why no image is left."""
    if not rejections:
        return f"No image was found in '{name}'. Give a folder with one folder of images a class."
    first = rejections[0]
    return (
        f"No image of '{name}' can be used: all {len(rejections)} were left out. The first reason: "
        f"{first.reason}"
    )


def forget_patients(
    records: Iterable[ImageRecord], no_patients: Iterable[str]
) -> tuple[ImageRecord, ...]:
    """Take away the ids that the user says stand for nobody."""
    folded = set(map(fold_label, no_patients))
    return tuple(
        replace(record, patient_id="") if fold_label(record.patient_id) in folded else record
        for record in records
    )


def _check_ids(records: tuple[ImageRecord, ...], *, name: str) -> None:
    counts = Counter(record.image_id for record in records)
    twice = [image_id for image_id, count in counts.items() if count > 1]
    if twice:
        raise SourceError(
            f"Two images of '{name}' have the same name '{twice[0]}'. Rename one of them."
        )
