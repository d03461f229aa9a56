"""Tables as people keep them: CSV, TSV, Parquet or xlsx bytes become rows of text."""

from __future__ import annotations

import codecs
import csv
import io
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cxresnet.core.errors import MissingExtraError, SourceError

__all__ = ["TABLE_SUFFIXES", "Table", "is_table_name", "read_table"]

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".parquet", ".xlsx")
"""Endings of the tables that are read."""

_MAX_SHEET_BYTES = 2**30


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        name: For messages.
        columns: Headings, stripped.
        rows: Cells, stripped, as many as there are columns; "" where there is nothing.
        numbers: Number of each row as an editor shows it: the heading is row 1.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]


def is_table_name(name: str) -> bool:
    """Say whether a file name ends like a table's."""
    return name.casefold().endswith(TABLE_SUFFIXES)


def read_table(content: bytes, *, name: str) -> Table:
    """Read a table; its kind is told by the ending of its name.

    Args:
        content: The file's bytes.
        name: The file's name.

    Raises:
        SourceError: It is empty, not of its kind, or has rows of another length than the heading.
        MissingExtraError: Parquet or xlsx, and the extra `tables` is not installed.
    """
    kind = name.casefold().rpartition(".")[2]
    if kind == "parquet":
        cells = _read_parquet(content, name=name)
    elif kind == "xlsx":
        cells = _read_xlsx(content, name=name)
    else:
        cells = _read_delimited(decode_text(content, name=name), name=name, kind=kind)
    return _build_table(cells, name=name)


def decode_text(content: bytes, *, name: str) -> str:
    """Decode UTF-8, with or without its mark, or UTF-16 with its mark.

    Raises:
        SourceError: It is neither.
    """
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"'{name}' is not written in UTF-8 (byte {error.start}). Save it as 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        raise SourceError(
            f"'{name}' is not a text table: it has zero bytes. Save it as 'CSV UTF-8'."
        )
    return text


def _read_delimited(text: str, *, name: str, kind: str) -> list[tuple[int, list[str]]]:
    heading = text.partition("\n")[0]
    delimiter = "\t" if kind in {"tsv", "tab"} else max(",;\t", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    cells = []
    start = 1
    try:
        for row in reader:
            cells.append((start, [cell.strip() for cell in row]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"Row {start} of '{name}' cannot be read: {error}.") from error
    return cells


def _read_parquet(content: bytes, *, name: str) -> list[tuple[int, list[str]]]:
    try:
        import pyarrow  # noqa: ICN001, PLC0415  an extra, for those who have such tables
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("tables", needed_for="Reading Parquet tables") from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"'{name}' is not a readable Parquet file: {error}.") from error
    columns = [column.to_pylist() for column in table.columns]
    return _number([table.column_names, *zip(*columns, strict=True)])


def _read_xlsx(content: bytes, *, name: str) -> list[tuple[int, list[str]]]:
    try:
        import openpyxl  # noqa: PLC0415  an extra, for those who have such tables
    except ImportError as error:
        raise MissingExtraError("tables", needed_for="Reading xlsx tables") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _MAX_SHEET_BYTES:
                raise SourceError(f"'{name}' unpacks to more than 1 GiB. Save it as CSV.")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        return _number(book.worksheets[0].iter_rows(values_only=True))
    except (zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise SourceError(f"'{name}' is not a readable xlsx file. Save it as CSV.") from error


def _number(rows: Iterable[Sequence[Any]]) -> list[tuple[int, list[str]]]:
    return [(number, [_to_text(cell) for cell in row]) for number, row in enumerate(rows, start=1)]


def _to_text(cell: Any) -> str:
    """Write a typed cell as its text: nothing for a missing value, 58 for 58.0."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _build_table(cells: list[tuple[int, list[str]]], *, name: str) -> Table:
    filled = [(number, row) for number, row in cells if any(row)]
    if not filled:
        raise SourceError(f"The table '{name}' is empty.")
    columns = filled[0][1]
    rows = tuple(_fit_row(row, columns, number=number, name=name) for number, row in filled[1:])
    return Table(name, tuple(columns), rows, tuple(number for number, _ in filled[1:]))


def _fit_row(row: list[str], columns: list[str], *, number: int, name: str) -> tuple[str, ...]:
    """Give a row the length of the heading; only empty cells may be missing or too many."""
    width = len(columns)
    missing = [column for column in columns[len(row) :] if column]
    if missing or any(row[width:]):
        raise SourceError(
            f"Row {number} of '{name}' has {len(row)} cells and the heading {width}. "
            "A cell with the delimiter in it needs quotation marks."
        )
    return tuple(row[:width] + [""] * (width - len(row)))
