"""A `.npy` of square 8-bit films whose rows are written one by one, in any order.

Written with plain file operations, not through a memory map: a full disk is then an error that can
be told, not a bus error, and written films do not count as memory of the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import DatasetError
from cxresnet.core.files import explain_storage_errors

__all__ = ["FilmFile", "create_film_file", "open_film_file", "write_all"]

_CHUNK_BYTES = 8 * 2**20


class FilmFile:
    """An open file of films; a context manager.

    Attributes:
        path: The `.npy`.
        count: Number of rows.
        side_px: Side of every film.
    """

    def __init__(self, path: Path, *, count: int, side_px: int, writable: bool) -> None:
        self.path = path
        self.count = count
        self.side_px = side_px
        self._film_bytes = side_px * side_px
        self._start = path.stat().st_size - count * self._film_bytes
        self._stream = path.open("r+b" if writable else "rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def write(self, row: int, film: NDArray[np.uint8]) -> None:
        """Write one film, (side, side), at its row.

        Raises:
            StorageError: The disk is full.
        """
        with explain_storage_errors(self.path):
            self._stream.seek(self._start + row * self._film_bytes)
            write_all(self._stream, np.ascontiguousarray(film).tobytes())

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read films `start` to `stop` - 1 into memory: (films, side, side)."""
        self._stream.seek(self._start + start * self._film_bytes)
        content = self._stream.read((stop - start) * self._film_bytes)
        return np.frombuffer(content, dtype=np.uint8).reshape(-1, self.side_px, self.side_px)

    def read_chunks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Read all films, a few at a time; yields the first row and the films of each chunk."""
        step = max(1, _CHUNK_BYTES // self._film_bytes)
        for start in range(0, self.count, step):
            yield start, self.read(start, min(start + step, self.count))


def create_film_file(path: Path, *, count: int, side_px: int) -> FilmFile:
    """Make a file for `count` films, its space taken at once, and open it for writing.

    Raises:
        StorageError: There is not enough space; the file is taken away again.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, side_px, side_px)}
    with explain_storage_errors(path):
        try:
            with path.open("wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                _take_space(stream.fileno(), stream.tell() + count * side_px * side_px)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return FilmFile(path, count=count, side_px=side_px, writable=True)


def open_film_file(path: Path, *, writable: bool = False) -> FilmFile:
    """Open a file of films.

    Raises:
        DatasetError: The file is missing, cut off, or holds something else.
    """
    try:
        films = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"'{path}' cannot be read ({error}). Prepare the dataset again."
        ) from error
    if films.dtype != np.uint8 or films.ndim != 3 or films.shape[1] != films.shape[2]:
        raise DatasetError(f"'{path}' holds no square 8-bit films. Prepare the dataset again.")
    return FilmFile(path, count=films.shape[0], side_px=films.shape[1], writable=writable)


def write_all(stream: RawIOBase, content: bytes) -> None:
    """Write to an unbuffered file, where a disk that fills takes a part without an error.

    Nothing is left in a buffer either, which closing the file would try to write once more.

    Raises:
        OSError: The disk is full.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) or 0 :]


def _take_space(handle: int, size: int) -> None:
    os.truncate(handle, size)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
