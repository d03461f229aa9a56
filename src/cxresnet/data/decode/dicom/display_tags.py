"""Tables and numbers about the display, also where they are not written as the standard says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword

# Tables: PS3.3 C.11.1.1, C.11.2.1.1 and C.7.6.3.1.5.

_ALL_WORDS = 2**16


@dataclass(frozen=True)
class LookupTable:
    """A table from levels to levels.

    Attributes:
        entries: (n,), from 0 to `white`.
        first: The level that the first entry is for; lower levels take the first entry too, and
            levels above the table the last one.
        white: The level that is white.
    """

    entries: NDArray[np.uint16]
    first: int
    white: int

    def apply(self, levels: NDArray[Any]) -> NDArray[np.uint16]:
        """Map whole numbers, or numbers that are rounded to whole ones."""
        whole = levels if levels.dtype.kind in "iu" else np.rint(levels)
        places = np.clip(whole.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[places]


def build_table(
    descriptor: Sequence[int],
    data: object,
    *,
    is_little_endian: bool,
    lowest: float,
    highest: float,
) -> LookupTable:
    """Build a table from its descriptor and its data.

    Eight-bit entries may be packed two to a word. A table that needs more or fewer bits than its
    descriptor says is as wide as its own highest entry: some scanners state the stored size there.

    Args:
        descriptor: Number of entries (0 means 65,536), first level, bits an entry.
        data: Bytes, one number or several, as pydicom has them.
        is_little_endian: Of the file, for bytes.
        lowest: Level that the table can be asked for.
        highest: The same.

    Raises:
        ValueError: The table has no entry.
    """
    count, first, bits = (int(value) for value in descriptor)
    entries = _read_entries(data, count or _ALL_WORDS, is_little_endian=is_little_endian)
    if not len(entries):
        raise ValueError("the table has no entry")
    own = int(entries.max())
    white = 2**bits - 1 if own.bit_length() == bits else max(own, 1)
    return LookupTable(entries, _read_first(first, lowest, highest), white)


def _read_entries(data: object, count: int, *, is_little_endian: bool) -> NDArray[np.uint16]:
    """Read the entries from words, or from bytes where there are half as many words."""
    if isinstance(data, bytes):
        content = data + bytes(len(data) % 2)
        words = np.frombuffer(content, "<u2" if is_little_endian else ">u2").astype(np.uint16)
    else:
        words = np.atleast_1d(np.asarray(data)).astype(np.uint16)
    if len(words) < count <= 2 * len(words):
        words = np.stack([words & 0xFF, words >> 8], axis=1).reshape(-1)
    return words[:count]


def _read_first(first: int, lowest: float, highest: float) -> int:
    """Read the first level with the sign of the levels, whichever sign it was written with."""
    if first > highest and first >= _ALL_WORDS // 2 and lowest < 0:
        return first - _ALL_WORDS
    if first < lowest and first < 0 <= lowest:
        return first + _ALL_WORDS
    return first


# Numbers


def read_numbers(dataset: pydicom.Dataset, keyword: str) -> list[float | None]:
    """Read the numbers of a tag; a decimal comma is a decimal point.

    Args:
        dataset: With or without the tag.
        keyword: Of the tag.

    Returns:
        One entry a value, None where it is no finite number; nothing where the tag is absent or
        empty.
    """
    return [_read_number(text) for text in _read_texts(dataset, keyword)]


def _read_texts(dataset: pydicom.Dataset, keyword: str) -> list[str]:
    try:
        value = dataset.get(keyword)
    except Exception:  # noqa: BLE001  pydicom refuses the value; its bytes are still there
        value = dataset.get_item(tag_for_keyword(keyword)).value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").split("\\")
    if value is None or value in ("", [""]):
        return []
    return [str(one) for one in np.ravel(value)]


def _read_number(text: str) -> float | None:
    try:
        number = float(text.strip(" \0").replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
