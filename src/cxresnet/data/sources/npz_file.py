"""Arrays in a NumPy .npz, checked before they are unpacked; nothing pickled is ever loaded."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import SourceError

__all__ = ["ArrayHeader", "read_array", "read_headers"]

_MAX_ARRAY_BYTES = 8 * 2**30
_MAX_RATIO = 200
_BOMB_BYTES = 2**22
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class ArrayHeader:
    """What the file states of one array; checked against the bytes that are stored.

    Attributes:
        shape: Length of each axis.
        dtype: Kind of number.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def read_headers(path: Path) -> Mapping[str, ArrayHeader]:
    """Read what arrays there are, without unpacking them.

    Raises:
        SourceError: It is no .npz, holds objects instead of numbers, states a shape that its bytes
            do not have, or would unpack to far too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): _read_header(archive, info, path)
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
    except _BROKEN as error:
        raise _explain(path, error) from error


def read_array(path: Path, name: str) -> NDArray[np.generic]:
    """Unpack one array whose header `read_headers` has accepted.

    Raises:
        SourceError: It is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray[np.generic] = arrays[name]
            return array
    except (*_BROKEN, KeyError) as error:
        raise _explain(path, error) from error


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> ArrayHeader:
    if info.file_size > _MAX_ARRAY_BYTES or (
        info.file_size > _BOMB_BYTES and info.file_size > _MAX_RATIO * max(info.compress_size, 1)
    ):
        raise SourceError(
            f"'{info.filename}' in '{path.name}' would unpack to {info.file_size:,} bytes; it is "
            "not read. Check where the file comes from."
        )
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        stated = stream.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or dtype.kind not in "uib" or stated != info.file_size:
        raise SourceError(
            f"'{info.filename}' in '{path.name}' states whole numbers of shape {shape} but holds "
            "something else; it is not read. Fetch the file again."
        )
    return ArrayHeader(shape, dtype)


def _explain(path: Path, error: Exception) -> SourceError:
    return SourceError(f"'{path.name}' is no readable .npz file: {error}. Fetch it again.")
