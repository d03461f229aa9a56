"""An index of a tar archive, built in one pass, so that images can be read in any order."""

from __future__ import annotations

import io
import tarfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from cxresnet.core.errors import SourceError

# Random access in a gzip file: points are kept at which decompression can be resumed.


if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


_CHUNK_BYTES = 64 * 2**10
_MIN_STEP_BYTES = 2**20
_MAX_POINTS = 2000  # a point takes about 40 KiB: 80 MiB however large the file
_GZIP_WINDOW = 31  # zlib's word for "with a gzip header"


class _Inflater(Protocol):
    """What `zlib.decompressobj` gives; zlib does not export its type."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...
    def copy(self) -> _Inflater: ...


@dataclass(frozen=True)
class GzipPoint:
    """A place where unpacking can begin.

    Attributes:
        packed: Bytes of the file read so far.
        unpacked: Bytes that came out of them.
        inflater: zlib's state; copied before use. About 40 KiB.
    """

    packed: int
    unpacked: int
    inflater: _Inflater


class GzipStream(io.RawIOBase):
    """A gzip file read from its beginning, which leaves a point every MiB, at most 2,000.

    Attributes:
        points: Left so far, in order; the first is the beginning.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Begin; `stream` stays the caller's to close."""
        super().__init__()
        self._step_bytes = _MIN_STEP_BYTES
        start = GzipPoint(0, 0, zlib.decompressobj(_GZIP_WINDOW))
        self.points = [replace(start, inflater=start.inflater.copy())]
        self._chunks = _unpack(stream, start)
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer with what comes next; see `io.RawIOBase`.

        Raises:
            EOFError: The file is cut off.
            zlib.error: It is damaged.
        """
        target = memoryview(buffer).cast("B")
        while not self._waiting:
            found = next(self._chunks, None)
            if found is None:
                return 0
            point, content = found
            self._waiting = memoryview(content)
            if point.unpacked - self.points[-1].unpacked >= self._step_bytes:
                self._leave(point)
        size = min(len(target), len(self._waiting))
        target[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size

    def _leave(self, point: GzipPoint) -> None:
        """Leave a point; where there are too many, every second one goes."""
        self.points.append(replace(point, inflater=point.inflater.copy()))
        if len(self.points) > _MAX_POINTS:
            self.points = self.points[::2]
            self._step_bytes *= 2


def read_gzip_range(path: Path, points: list[GzipPoint], *, start: int, size: int) -> bytes:
    """Read bytes out of the middle of what a gzip file unpacks to.

    Args:
        path: The file.
        points: Of a `GzipStream` that has read it to its end.
        start: First byte, counted unpacked.
        size: How many.

    Raises:
        EOFError: The file ends before.
        zlib.error: It is damaged.
    """
    point = points[bisect_right([point.unpacked for point in points], start) - 1]
    skip = start - point.unpacked
    parts: list[bytes] = []
    have = 0
    with path.open("rb") as stream:
        stream.seek(point.packed)
        begin = replace(point, inflater=point.inflater.copy())
        for _, content in _unpack(stream, begin):
            parts.append(content)
            have += len(content)
            if have >= skip + size:
                return b"".join(parts)[skip : skip + size]
    raise EOFError("the gzip file ends too early")


def _unpack(stream: BinaryIO, point: GzipPoint) -> Iterator[tuple[GzipPoint, bytes]]:
    """Yield what comes out of chunk after chunk, each with the point behind it."""
    inflater, packed, unpacked = point.inflater, point.packed, point.unpacked
    while chunk := stream.read(_CHUNK_BYTES):
        packed += len(chunk)
        parts = []
        while chunk:
            if inflater.eof:  # several gzip files in a row are one; zeros may pad the end
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                inflater = zlib.decompressobj(_GZIP_WINDOW)
            parts.append(inflater.decompress(chunk))
            chunk = inflater.unused_data if inflater.eof else b""
        content = b"".join(parts)
        unpacked += len(content)
        yield GzipPoint(packed, unpacked, inflater), content
    if not inflater.eof:
        raise EOFError("the gzip file is cut off")


_GZIP_MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 132
_MAX_RATIO = 200
_BOMB_BYTES = 2**30


_MAX_HEADER_BYTES = 2**20
_HEADERS_IN_MEMORY = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


_UNREADABLE_HEADERS = (
    tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)  # fmt: skip


class _Header(tarfile.TarInfo):
    """The header of an entry, refused if what precedes the entry would fill the memory.

    It is also refused where `tarfile` takes a header that it cannot read for the end of the
    archive, and leaves out all that follows.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header.

        Raises:
            tarfile.ReadError: There is none although the archive goes on, or its size is below 0.
        """
        try:
            header = super().fromtarfile(archive)
        except _UNREADABLE_HEADERS as error:
            where = f"at byte {archive.offset:,} there is no header of a file ({error})"
            raise tarfile.ReadError(where) from error
        if header.size < 0:
            raise tarfile.ReadError(f"a header of it states {header.size:,} bytes")
        return header

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS_IN_MEMORY and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of it states {self.size:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE and self._sparse_structs[1]:  # type: ignore[attr-defined]
            raise tarfile.ReadError("a file in it has very many holes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]  # not in typeshed

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_where_its_holes_are: object) -> None:
        """Leave the map of holes unread, however long; such a file is refused."""
        member.sparse = []  # type: ignore[assignment]


@dataclass(frozen=True)
class TarEntry:
    """One entry that is not a folder.

    Attributes:
        name: As the archive has it.
        start: First byte of its content, counted unpacked.
        size_bytes: As stated.
        is_special: It is a link, a device, a pipe or a file with holes.
        head: Its first bytes.
    """

    name: str
    start: int
    size_bytes: int
    is_special: bool
    head: bytes = b""


@dataclass(frozen=True)
class TarIndex:
    """The entries of an archive.

    Attributes:
        path: Of the archive.
        entries: In its order.
        points: Where unpacking can begin; empty for a plain tar.
    """

    path: Path
    entries: tuple[TarEntry, ...]
    points: list[GzipPoint]


@lru_cache(maxsize=32)
def index_tar(path: Path, written_ns: int, size_bytes: int) -> TarIndex:
    """Read an archive's index, once a process.

    Args:
        path: The archive.
        written_ns: Time of writing; another time is another archive.
        size_bytes: Of the archive, packed.

    Raises:
        SourceError: It is no tar, cut off, damaged, or unpacks to far too much.
    """
    del written_ns
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(2) == _GZIP_MAGIC
            stream.seek(0)
            if not is_packed:
                with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header) as archive:
                    return TarIndex(path, tuple(_list_entries(archive)), [])
            unpacked = GzipStream(stream)
            entries = []
            reader = io.BufferedReader(unpacked)
            with tarfile.open(fileobj=reader, mode="r|", tarinfo=_Header) as archive:
                for entry in _list_entries(archive):
                    _check_ratio(path, entry, size_bytes=size_bytes)
                    entries.append(entry)
            return TarIndex(path, tuple(entries), unpacked.points)
    except RecursionError as error:
        raise SourceError(
            f"'{path.name}' is not a readable tar archive: hundreds of headers precede one file. "
            "Check where it comes from."
        ) from error
    except (tarfile.TarError, zlib.error, EOFError, OSError, OverflowError, ValueError) as error:
        raise SourceError(
            f"'{path.name}' is not a readable tar archive: {error}. Download it again."
        ) from error


def read_tar_entry(index: TarIndex, entry: TarEntry) -> bytes:
    """Read the content of one entry.

    Raises:
        EOFError: The archive ends before.
    """
    if index.points:
        return read_gzip_range(index.path, index.points, start=entry.start, size=entry.size_bytes)
    with index.path.open("rb") as stream:
        stream.seek(entry.start)
        content = stream.read(entry.size_bytes)
    if len(content) < entry.size_bytes:
        raise EOFError("the archive ends too early")
    return content


def _list_entries(archive: tarfile.TarFile) -> Iterator[TarEntry]:
    for info in archive:
        if not info.isdir():
            is_special = not info.isreg() or info.issparse()
            content = None if is_special else archive.extractfile(info)
            head = content.read(_HEAD_BYTES) if content else b""
            yield TarEntry(info.name, info.offset_data, info.size, is_special, head)


def _check_ratio(path: Path, entry: TarEntry, *, size_bytes: int) -> None:
    end = entry.start + entry.size_bytes
    if end > _BOMB_BYTES and end > _MAX_RATIO * size_bytes:
        raise SourceError(
            f"'{path.name}' unpacks to more than {_MAX_RATIO} times its size; it is not read. "
            "Check where it comes from."
        )
