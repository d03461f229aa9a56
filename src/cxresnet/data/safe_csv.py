"""Tables that a spreadsheet cannot take for formulas, and that come back exactly as they were.

A text that starts like a formula is written with an apostrophe before it, which is taken off again
on reading. Every text stands in quotes: with fewer, `csv` would leave a bare carriage return.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cxresnet.core.files import write_text

__all__ = ["make_printable", "read_safe_csv", "write_safe_csv"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "'")


def write_safe_csv(path: Path, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Write a table whole or not at all; returns the path.

    Raises:
        StorageError: The file cannot be written.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(names)
    writer.writerows([_shield(value) for value in row] for row in rows)
    return write_text(path, stream.getvalue())


def read_safe_csv(path: Path) -> tuple[list[str], list[Sequence[str]]]:
    """Read the names of the columns, and the columns; every value is a text.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no table: not UTF-8, ragged, without a header or badly quoted.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            names, *rows = csv.reader(stream, strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    columns = list(zip(*rows, strict=True)) or [() for _ in names]
    if len(columns) != len(names):
        raise ValueError(f"{len(names)} names of columns, but {len(columns)} columns")
    return names, [[value.removeprefix("'") for value in column] for column in columns]


def make_printable(value: object) -> str:
    """Escape what is not valid Unicode: a file name of other bytes must not break a file."""
    return str(value).encode("utf-8", errors="backslashreplace").decode("utf-8")


def _shield(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = make_printable(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
