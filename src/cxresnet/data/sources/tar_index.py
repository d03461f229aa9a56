"""Where each file of a tar archive begins: read once, so that films are read in any order."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cxresnet.core.errors import SourceError
from cxresnet.data.sources.gzip_points import GzipPoint, GzipStream, read_gzip_range

__all__ = ["TarEntry", "TarIndex", "index_tar", "read_tar_entry"]

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_RATIO = 200
_BOMB_BYTES = 2**30


@dataclass(frozen=True)
class TarEntry:
    """One entry that is not a folder.

    Attributes:
        name: As the archive has it.
        start: First byte of its content, counted unpacked.
        size_bytes: As stated.
        is_special: It is a link, a device, a pipe or a file with holes.
    """

    name: str
    start: int
    size_bytes: int
    is_special: bool


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


@lru_cache(maxsize=4)
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
                with tarfile.open(fileobj=stream, mode="r:") as archive:
                    return TarIndex(path, tuple(_list_entries(archive)), [])
            unpacked = GzipStream(stream)
            entries = []
            with tarfile.open(fileobj=io.BufferedReader(unpacked), mode="r|") as archive:
                for entry in _list_entries(archive):
                    _check_ratio(path, entry, size_bytes=size_bytes)
                    entries.append(entry)
            return TarIndex(path, tuple(entries), unpacked.points)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise SourceError(
            f"'{path.name}' is no readable tar archive: {error}. Fetch it again."
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
            yield TarEntry(info.name, info.offset_data, info.size, is_special)


def _check_ratio(path: Path, entry: TarEntry, *, size_bytes: int) -> None:
    end = entry.start + entry.size_bytes
    if end > _BOMB_BYTES and end > _MAX_RATIO * size_bytes:
        raise SourceError(
            f"'{path.name}' unpacks to more than {_MAX_RATIO} times its size; it is not read. "
            "Check where it comes from."
        )
