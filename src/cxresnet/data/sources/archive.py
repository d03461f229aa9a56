"""Archives (zip, tar, tar.gz), read in place without unpacking to the disk."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

from cxresnet.core.errors import ImageError, SourceError, UnsafePathError
from cxresnet.core.printable import make_printable
from cxresnet.data.sources.safe_path import normalise_path
from cxresnet.data.sources.source import (
    HEAD_BYTES,
    MAX_FILE_BYTES,
    AbstractStore,
    Listing,
    Rejection,
    is_hidden,
)
from cxresnet.data.sources.tar_index import TarEntry, index_tar, read_tar_entry

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of the archives that are read."""

DAMAGED = (
    EOFError, NotImplementedError, OSError, RuntimeError, SyntaxError, ValueError,
    lzma.LZMAError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What Python raises of an archive that is damaged, locked, or of a kind that it cannot read."""

_MAX_RATIO = 200
_BOMB_BYTES = 2**20
_OPEN_ARCHIVES = 32
BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods of which no step unpacks to more than was asked for."""
_STEP_BYTES = 2**20
_SMALL_STEP_BYTES = 2**12


def is_archive_name(name: str) -> bool:
    """Say whether a file name ends like an archive's."""
    return name.casefold().endswith(ARCHIVE_SUFFIXES)


def open_archive(path: Path) -> AbstractStore:
    """Open an archive as a store; nothing is read yet.

    Raises:
        SourceError: Its ending is none of `ARCHIVE_SUFFIXES`.
    """
    if not is_archive_name(path.name):
        raise SourceError(
            f"'{path.name}' is not an archive that can be read ({', '.join(ARCHIVE_SUFFIXES)}). "
            "Unpack it and give the folder."
        )
    return ZipStore(path) if path.name.casefold().endswith(".zip") else TarStore(path)


@dataclass(frozen=True)
class _Entry:
    """What an archive states of one of its files.

    Attributes:
        name: As the archive has it.
        size_bytes: Unpacked, as stated.
        refusal: Code and reason, if it is not read whatever its name.
        place: Where the archive has it.
    """

    name: str
    size_bytes: int
    refusal: tuple[str, str] | None
    place: zipfile.ZipInfo | TarEntry


@dataclass(frozen=True)
class _Contents:
    """What of an archive is read, by member, and what is not."""

    places: dict[str, zipfile.ZipInfo | TarEntry]
    rejections: tuple[Rejection, ...]


class AbstractArchiveStore(AbstractStore):
    """What zip and tar have in common.

    Attributes:
        path: Of the archive.
    """

    def __init__(self, path: Path) -> None:
        """Keep the place; the archive is opened in `list_members` and `read_member`."""
        self.path = path

    @property
    def name(self) -> str:
        """Name of the archive without its ending."""
        name = self.path.name
        ending = next((end for end in ARCHIVE_SUFFIXES if name.casefold().endswith(end)), "")
        return make_printable(name[: len(name) - len(ending)] or "images")

    def list_members(self) -> Listing:
        """List every file by its stated name and size; see `AbstractStore`."""
        contents = self._list_contents()
        return Listing(tuple(sorted(contents.places)), contents.rejections)

    def find_member(self, path: str) -> str:
        """Find a file by its path in the archive; see `AbstractStore`."""
        member = normalise_path(path)
        return member if member in self._list_contents().places else ""

    def read_member(self, member: str) -> bytes:
        """Unpack one file into memory; see `AbstractStore`."""
        place = self._list_contents().places.get(member)
        shown = make_printable(member)
        if place is None:
            raise ImageError("missing", f"'{shown}' is not in '{self.path.name}'.")
        try:
            return self._unpack(place)
        except DAMAGED as error:
            raise ImageError("damaged", f"'{shown}' cannot be unpacked: {error}.") from error

    def read_head(self, member: str) -> bytes:
        """Read the first bytes of a file, without unpacking all of it; see `AbstractStore`."""
        try:
            return self._unpack_head(self._list_contents().places[member])
        except DAMAGED as error:
            raise ImageError("damaged", "The file cannot be unpacked.") from error

    def _list_contents(self) -> _Contents:
        return _remember_contents(type(self), *_identify(self.path))

    @abstractmethod
    def list_entries(self) -> Iterator[_Entry]:
        """List the archive's files as it states them, folders left out."""

    @abstractmethod
    def _unpack(self, place: zipfile.ZipInfo | TarEntry) -> bytes: ...

    @abstractmethod
    def _unpack_head(self, place: zipfile.ZipInfo | TarEntry) -> bytes: ...


class ZipStore(AbstractArchiveStore):
    """A zip archive."""

    def list_entries(self) -> Iterator[_Entry]:
        """List its files; see `AbstractArchiveStore`."""
        yield from _list_zip(_open_zip(*_identify(self.path), os.getpid()))

    def _unpack(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        archive = _open_zip(*_identify(self.path), os.getpid())
        return _read_zip_entry(archive, cast("zipfile.ZipInfo", place))

    def _unpack_head(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        archive = _open_zip(*_identify(self.path), os.getpid())
        with _open_zip_entry(archive, cast("zipfile.ZipInfo", place)) as stream:
            return stream.read(HEAD_BYTES)


class PackedZipStore(ZipStore):
    """A zip archive within another archive; it is unpacked into memory, once a process."""

    def __init__(self, path: Path, member: str) -> None:
        """Keep the place.

        Args:
            path: Of the outer archive.
            member: The inner one.
        """
        super().__init__(path)
        self.member = member

    def _list_contents(self) -> _Contents:
        return self._load()[1]

    def _unpack(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        return _read_zip_entry(self._load()[0], cast("zipfile.ZipInfo", place))

    def _unpack_head(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        with _open_zip_entry(self._load()[0], cast("zipfile.ZipInfo", place)) as stream:
            return stream.read(HEAD_BYTES)

    def _load(self) -> tuple[zipfile.ZipFile, _Contents]:
        return _load_packed_zip(*_identify(self.path), self.member, os.getpid())


class TarStore(AbstractArchiveStore):
    """A tar archive, plain or with gzip: read once for its index, then anywhere."""

    def list_entries(self) -> Iterator[_Entry]:
        """List its files; see `AbstractArchiveStore`."""
        for entry in index_tar(*_identify(self.path)).entries:
            refusal = ("not-an-image", "is a link or a device") if entry.is_special else None
            yield _Entry(entry.name, entry.size_bytes, refusal, entry)

    def _unpack(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        return read_tar_entry(index_tar(*_identify(self.path)), cast("TarEntry", place))

    def _unpack_head(self, place: zipfile.ZipInfo | TarEntry) -> bytes:
        return cast("TarEntry", place).head


class _BoundedBzip2:
    """Unpacks bzip2, of which 4 KiB may hold gigabytes, to no more than is stated."""

    def __init__(self, size_bytes: int) -> None:
        self._inflater, self._left = bz2.BZ2Decompressor(), size_bytes

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    def decompress(self, packed: bytes) -> bytes:
        part = self._inflater.decompress(packed, max_length=self._left)
        self._left -= len(part)
        return part


def _open_zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    stream = archive.open(info)
    if info.compress_type == zipfile.ZIP_BZIP2:
        stream._decompressor = _BoundedBzip2(info.file_size)  # type: ignore[attr-defined]  # noqa: SLF001
    return stream


def _read_zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack one file in small steps: `ZipFile.read` unpacks all that there is, whatever is stated.

    Raises:
        zipfile.BadZipFile: It is damaged, or unpacks to another size than is stated.
    """
    step_bytes = _STEP_BYTES if info.compress_type in BOUNDED_METHODS else _SMALL_STEP_BYTES
    content = io.BytesIO()
    with _open_zip_entry(archive, info) as stream:
        while part := stream.read(step_bytes):
            content.write(part)
    return content.getvalue()


def _list_zip(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        if not info.filename.endswith("/"):  # `is_dir` fails where there is no name
            yield _Entry(info.filename, info.file_size, _refuse_zip_entry(info), info)


def _sort_entries(entries: Iterable[_Entry]) -> _Contents:
    """Tell what is read from what is refused, by stated name and size alone."""
    places: dict[str, zipfile.ZipInfo | TarEntry] = {}
    rejections: list[Rejection] = []
    for entry in entries:
        try:
            member = normalise_path(entry.name)
        except UnsafePathError as error:
            rejections.append(_reject(entry.name, "unsafe-path", str(error)))
            continue
        if not member:
            rejections.append(_reject("(no name)", "unsafe-path", "It has no name."))
            continue
        if any(is_hidden(part) for part in member.split("/")):
            continue
        refusal = entry.refusal
        if entry.size_bytes > MAX_FILE_BYTES:
            refusal = ("too-large", "is larger than 512 MiB")
        elif member in places:
            refusal = ("duplicate-name", "is in the archive twice; the first is taken")
        if refusal is None:
            places[member] = entry.place
        else:
            rejections.append(_reject(member, refusal[0], f"It {refusal[1]}."))
    return _Contents(places, tuple(rejections))


def _identify(path: Path) -> tuple[Path, int, int]:
    """Name a file so that another under the same path is another: path, time of writing, size.

    Raises:
        SourceError: There is no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"The archive '{path}' cannot be read: {error.strerror}.") from error
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _remember_contents(
    kind: type[AbstractArchiveStore], path: Path, written_ns: int, size_bytes: int
) -> _Contents:
    """List an archive once in each process; time and size show whether the file has changed."""
    del written_ns, size_bytes
    return _sort_entries(kind(path).list_entries())


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _open_zip(path: Path, written_ns: int, size_bytes: int, process: int) -> zipfile.ZipFile:
    """Open a zip once a process: two that share an open file would move each other's place in it.

    Raises:
        SourceError: It is no zip archive, or cut off.
    """
    del written_ns, size_bytes, process
    try:
        return zipfile.ZipFile(path)
    except DAMAGED as error:
        raise SourceError(
            f"'{path.name}' is not a readable zip archive: {error}. Download it again."
        ) from error


@lru_cache(maxsize=2)
def _load_packed_zip(
    path: Path, written_ns: int, size_bytes: int, member: str, process: int
) -> tuple[zipfile.ZipFile, _Contents]:
    """Unpack a zip within an archive, once a process.

    Raises:
        SourceError: It is no zip archive, or cut off.
        ImageError: It cannot be unpacked.
    """
    del written_ns, size_bytes, process
    try:
        archive = zipfile.ZipFile(io.BytesIO(open_archive(path).read_member(member)))
    except DAMAGED as error:
        raise SourceError(f"It is not a readable zip archive: {error}.") from error
    return archive, _sort_entries(_list_zip(archive))


def _refuse_zip_entry(info: zipfile.ZipInfo) -> tuple[str, str] | None:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in {0, stat.S_IFREG}:
        return "not-an-image", "is a link or a device"
    if info.flag_bits & 1:
        return "encrypted", "is locked with a password; unpack the archive yourself"
    if info.file_size > _BOMB_BYTES and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
        return "too-large", f"would unpack to more than {_MAX_RATIO} times its size"
    return None


def _reject(name: str, code: str, reason: str) -> Rejection:
    return Rejection(image_id=make_printable(name), class_name="", code=code, reason=reason)
