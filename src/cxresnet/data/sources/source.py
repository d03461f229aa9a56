"""The interface of a source of images, and what all sources share."""

from __future__ import annotations

import io
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import (
    ClassMapError,
    EmptySourceError,
    ImageError,
    SourceError,
    UnsafePathError,
)
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.safe_path import make_printable, normalise_path


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
        has_pseudonyms: Patients and files have pseudonyms, because some of them are DICOM.
    """

    records: tuple[ImageRecord, ...]
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = field(default=())
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


# Cells of tables and names of folders, as the words that the manifest uses.


_SPLITS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "valset": "val",
    "test": "test", "testing": "test", "testset": "test",
}  # fmt: skip


_VIEWS = {
    "pa": "PA", "ap": "AP", "apsupine": "AP supine", "aperect": "AP erect",
    "lateral": "lateral", "lat": "lateral", "l": "lateral", "ll": "lateral", "rl": "lateral",
}  # fmt: skip


def read_split(text: str) -> str:
    """Read "Training", "valid" or "test" as "train", "val" or "test"; "" for anything else."""
    return _SPLITS.get(re.sub(r"[^a-z]+", "", text.casefold()), "")


def read_age(text: str) -> str:
    """Read an age as whole years: "058Y" → "58", "7.5" → "7", "10M" → "0"; "" if unknown.

    Ages over 120 are mistakes of typing (ChestX-ray14 has 412) and count as unknown.
    """
    match = re.fullmatch(r"\s*(\d{1,4})(?:\.\d*)?\s*([YyMmWwDd]?)\w*\s*", text)
    if match is None:
        return ""
    per_year = {"m": 12, "w": 52, "d": 365}.get(match[2].casefold(), 1)
    years = int(match[1]) // per_year
    return str(years) if years <= 120 else ""


def read_sex(text: str) -> str:
    """Read "Female", "f" or "M" as "F" or "M"; "" for anything else."""
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(text.strip().casefold(), "")


def read_view(text: str) -> str:
    """Read "pa" or "Pa" as "PA", "AP_Supine" as "AP supine"; anything else as it is written."""
    return _VIEWS.get(re.sub(r"[^a-z]+", "", text.casefold()), text.strip())


# Stores: files under relative names, in a folder here, in an archive in `archive.py`.
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
    """

    members: tuple[str, ...]
    rejections: tuple[Rejection, ...] = ()


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


class FolderStore(AbstractStore):
    """A folder on the disk.

    Links to folders are not followed: inside the folder their images are found at their own place,
    and a link that leads out is refused. So no loop can trap a listing.
    """

    def __init__(self, root: Path, *, reach: Path | None = None) -> None:
        """Keep the places; nothing is opened yet.

        Args:
            root: The folder; members are relative to it.
            reach: The folder that no member may leave; `root` or a folder above it.
        """
        self.root = root
        self.reach = root if reach is None else reach

    @cached_property
    def name(self) -> str:
        """Name of the folder."""
        return make_printable(self.root.resolve().name or "images")

    def list_members(self) -> Listing:
        """List every file that is not hidden; see `AbstractStore`."""
        if not self.root.is_dir():
            raise SourceError(f"There is no folder '{self.root}'. Check the path.")
        members: list[str] = []
        rejections: list[Rejection] = []
        for entry, relative in _walk(self.root):
            refusal = self._refuse(entry, relative)
            if refusal is not None:
                rejections.append(refusal)
            elif entry.is_file():
                members.append(relative)
        return Listing(tuple(sorted(members)), tuple(rejections))

    def _refuse(self, entry: os.DirEntry[str], relative: str) -> Rejection | None:
        if not entry.is_symlink():
            if entry.is_file():
                return None
            code, reason = "not-an-image", "a pipe, a socket or a device"
        elif not self._is_inside(Path(entry.path)):
            code, reason = (
                "unsafe-path",
                "a link that leads out of the folder; it is not followed",
            )
        elif Path(entry.path).exists():
            return None
        else:
            code, reason = "missing", "a link to nothing"
        name = make_printable(relative)
        return Rejection(image_id=name, class_name="", code=code, reason=f"It is {reason}.")

    def _is_inside(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return real == self._real_reach or real.startswith(self._real_reach.rstrip(os.sep) + os.sep)

    @cached_property
    def _real_reach(self) -> str:
        return os.path.realpath(self.reach)

    def find_member(self, path: str) -> str:
        """Find a file by its relative path; see `AbstractStore`."""
        member = normalise_path(path)
        return member if member and self.has_file(member) else ""

    def has_file(self, member: str) -> bool:
        """Say whether there is such a file; `member` may climb as far as `reach`.

        Raises:
            UnsafePathError: It leads out of `reach`.
        """
        return self._locate(member).is_file()

    def read_member(self, member: str) -> bytes:
        """Read one file whole; see `AbstractStore`."""
        path = self._locate(member)
        shown = make_printable(member)
        try:
            if not path.is_file():
                raise ImageError("missing", f"The file '{shown}' is missing.")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ImageError("too-large", f"The file '{shown}' is larger than 512 MiB.")
            return path.read_bytes()
        except OSError as error:
            raise ImageError(
                "unreadable", f"'{shown}' cannot be read: {error.strerror}."
            ) from error

    def open_member(self, member: str) -> BinaryIO:
        """Open one file for reading; see `AbstractStore`."""
        return self._locate(member).open("rb")

    def _locate(self, member: str) -> Path:
        path = self.root / member
        if not self._is_inside(path):
            raise UnsafePathError(
                f"The path '{make_printable(member)}' leads out of '{self.reach}'; it is not "
                "followed. Put the file into the folder."
            )
        return path


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is one that systems leave behind, not people."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


def _walk(root: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield every entry that is not a folder, with its relative name; links are not followed."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = [entry for entry in entries if not is_hidden(entry.name)]
        except OSError as error:
            raise SourceError(
                f"The folder '{make_printable(folder) or root}' cannot be read: {error.strerror}."
            ) from error
        for entry in found:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(relative)
            else:
                yield entry, relative


# Sources that read files: a store, a class map, and the final checks.


class AbstractStoredSource(AbstractSource):
    """Images in a store; a location is a member of it.

    Attributes:
        store: Where the files are.
        require_two_classes: False where other sources are joined to this one: a single class is
            then no error.
    """

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
            check_classes(records, self.class_map, name=self.name)
        return replace(found, records=records)

    @abstractmethod
    def list_records(self) -> ScanResult:
        """Bring the store's files into records, in any order."""


def check_classes(records: tuple[ImageRecord, ...], class_map: ClassMap, *, name: str) -> None:
    """Refuse images of a single class.

    Raises:
        ClassMapError: Fewer than two classes.
    """
    classes = {record.class_name for record in records}
    if len(classes) < 2:
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


def _check_ids(records: tuple[ImageRecord, ...], *, name: str) -> None:
    counts = Counter(record.image_id for record in records)
    twice = [image_id for image_id, count in counts.items() if count > 1]
    if twice:
        raise SourceError(
            f"Two images of '{name}' have the same name '{twice[0]}'. Rename one of them."
        )
