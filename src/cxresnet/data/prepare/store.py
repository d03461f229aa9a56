"""A `.npy` of square 8-bit images whose rows are written one by one, in any order.

It is written with plain file operations, not through a memory map: a full disk then raises an
ordinary error, not a bus error, and written images do not count as memory of the process.
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

_CHUNK_BYTES = 8 * 2**20


class ImageArrayFile:
    """An open file of images; a context manager.

    Attributes:
        path: The `.npy`.
        count: Number of rows.
        side_px: Side of every image.
    """

    def __init__(self, path: Path, *, count: int, side_px: int, writable: bool) -> None:
        self.path = path
        self.count = count
        self.side_px = side_px
        self._image_bytes = side_px * side_px
        self._start = path.stat().st_size - count * self._image_bytes
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

    def write(self, row: int, image: NDArray[np.uint8]) -> None:
        """Write one image, (side, side), at its row.

        Raises:
            StorageError: The disk is full.
        """
        with explain_storage_errors(self.path):
            self._stream.seek(self._start + row * self._image_bytes)
            write_all(self._stream, np.ascontiguousarray(image).tobytes())

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read images `start` to `stop` - 1 into memory: (images, side, side)."""
        self._stream.seek(self._start + start * self._image_bytes)
        content = self._stream.read((stop - start) * self._image_bytes)
        return np.frombuffer(content, dtype=np.uint8).reshape(-1, self.side_px, self.side_px)

    def read_chunks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Read all images, a few at a time; yields the first row and the images of each chunk."""
        step = max(1, _CHUNK_BYTES // self._image_bytes)
        for start in range(0, self.count, step):
            yield start, self.read(start, min(start + step, self.count))


def create_image_array(path: Path, *, count: int, side_px: int) -> ImageArrayFile:
    """Make a file for `count` images, its space taken at once, and open it for writing.

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
    return ImageArrayFile(path, count=count, side_px=side_px, writable=True)


def open_image_array(path: Path, *, writable: bool = False) -> ImageArrayFile:
    """Open a file of images.

    Raises:
        DatasetError: The file is missing, cut off, or holds something else.
    """
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"'{path}' cannot be read ({error}). Prepare the dataset again."
        ) from error
    is_mapped = isinstance(images, np.memmap) and images.dtype == np.uint8 and images.ndim == 3
    if not is_mapped or images.shape[1] != images.shape[2]:
        raise DatasetError(f"'{path}' holds no square 8-bit images. Prepare the dataset again.")
    return ImageArrayFile(path, count=images.shape[0], side_px=images.shape[1], writable=writable)


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
