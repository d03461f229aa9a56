"""Files that list images, whatever their layout: each becomes tables of text.

A list is a table with headings (CSV, TSV, Parquet, xlsx), a text file with one image a line (the
lists of COVIDx: patient, file, class and source with blanks between), or JSON: a list of objects,
or one for each split. No image is opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxresnet.core.errors import ImageError, SourceError
from cxresnet.core.printable import make_printable
from cxresnet.data.decode.formats import sniff_format
from cxresnet.data.sources.class_folders import is_image_name
from cxresnet.data.sources.source import MAX_FILE_BYTES, read_split
from cxresnet.data.sources.table_file import (
    Table,
    decode_text,
    find_columns,
    is_table_name,
    read_table,
)

_JSON_SUFFIXES = (".json",)
_JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
_ZIP_START = b"PK\x03\x04"
_MADE_COLUMNS = ("path", "class", "patient", "source")
_LAYOUTS = (
    "A list is a table with headings, a text file with 'PATIENT FILE CLASS [SOURCE]' or one file "
    "a line, or JSON: a list of objects, or {'train': […], 'test': […]}."
)


@dataclass(frozen=True)
class ListedTable:
    """A table, and what its layout says of it.

    Attributes:
        table: With headings, its own or ours.
        split: The part of a JSON file that it is, for example "train"; "" for none.
        has_headings: Whether the headings are those of the file.
    """

    table: Table
    split: str = ""
    has_headings: bool = True


def read_listed_tables(path: Path) -> list[ListedTable]:
    """Read every table of a file; several where JSON holds one for each split.

    Raises:
        SourceError: There is no such file, it is an image, or no layout fits it.
        MissingExtraError: Parquet or xlsx, and the extra `tables` is not installed.
    """
    content, name = _read_bytes(path), make_printable(path.name)
    if is_table_name(name):
        is_text = not name.casefold().endswith((".parquet", ".xlsx"))
        if is_text:
            _decode(content, name=name)
        return [_take_table(read_table(content, name=name))]
    text = _decode(content, name=name)
    if name.casefold().endswith(_JSON_SUFFIXES):
        return _read_json(_load_json(text, name=name), name=name)
    if name.casefold().endswith(_JSON_LINES_SUFFIXES):
        lines = filter(None, map(str.strip, text.splitlines()))
        return [_tabulate([_load_json(line, name=name) for line in lines], name=name)]
    first = text.lstrip().partition("\n")[0]
    if any(delimiter in first for delimiter in ",;\t"):
        return [_take_table(read_table(content, name=name))]
    return [_read_lines(text, name=name)]


def _read_bytes(path: Path) -> bytes:
    """Read a plain file; never opens a device or a pipe, which could block for ever."""
    shown = make_printable(str(path))
    try:
        if path.is_dir():
            raise SourceError(
                f"'{shown}' is a folder. Name the tables in it; for the images themselves use "
                "'cxresnet prepare'."
            )
        if not path.is_file():
            raise SourceError(f"There is no '{shown}'. Name a table or a list of images.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(f"'{shown}' has more than {MAX_FILE_BYTES // 2**20} MiB. Divide it.")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"'{shown}' cannot be read: {error.strerror or error}.") from error


def _decode(content: bytes, *, name: str) -> str:
    """Decode a text, and say where it is another kind of file."""
    if not content.strip():
        raise SourceError(f"The table '{name}' is empty.")
    try:
        return decode_text(content, name=name)
    except SourceError as error:
        kind = _find_kind(content)
        if kind:
            raise SourceError(
                f"'{name}' is a {kind} file, not a table. Name the table that lists the images; "
                "for the images themselves use 'cxresnet prepare'."
            ) from error
        raise


def _find_kind(content: bytes) -> str:
    """Find what a file that is no text is; "" where nothing is known of it."""
    if content.startswith(_ZIP_START):
        return "ZIP or xlsx"
    try:
        return sniff_format(content)
    except ImageError:
        return ""


# Tables without headings: the first row already names an image.


def _take_table(table: Table) -> ListedTable:
    """Take a table with its headings, or with ours where its first row names an image."""
    if not any(map(_is_file_name, table.columns)) or "path" in find_columns(table):
        return ListedTable(table)
    entries = [
        _read_entry(cells, number=number, name=table.name, blanks=False)
        for number, cells in zip((1, *table.numbers), (table.columns, *table.rows), strict=True)
    ]
    return _build(entries, numbers=(1, *table.numbers), name=table.name)


def _read_lines(text: str, *, name: str) -> ListedTable:
    """Read one image a line, with blanks between its parts; "#" begins a remark."""
    lines = [
        (number, line.split())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise SourceError(f"The table '{name}' is empty.")
    entries = [_read_entry(words, number=number, name=name, blanks=True) for number, words in lines]
    return _build(entries, numbers=[number for number, _ in lines], name=name)


_Entry = tuple[str, str, str, str]
"""Path, class, patient and source; "" for what is not there."""


def _read_entry(cells: Sequence[str], *, number: int, name: str, blanks: bool) -> _Entry:
    """Read one image of a list without headings, by the place of its file name.

    Args:
        cells: The parts of the line.
        number: Of the line, for messages.
        name: Of the list, for messages.
        blanks: Whether blanks stand between the parts, and so perhaps also in a file name.

    Raises:
        SourceError: No part is a file name, or too many are none.
    """
    cells = [cell for cell in cells if cell]
    at = max((at for at, cell in enumerate(cells) if _is_file_name(cell)), default=None)
    if at is None and len(cells) in {3, 4}:
        at = 1  # names without an ending, as DICOM files have them
    if at is None:
        raise SourceError(f"Line {number} of '{name}' names no image file. {_LAYOUTS}")
    behind = cells[at + 1 :]
    if not behind and blanks:
        return (" ".join(cells), "", "", "")
    if len(behind) > 2 or (at > 1 and not blanks):
        raise SourceError(
            f"Line {number} of '{name}' has {len(cells)} parts, which no layout has that is known. "
            f"{_LAYOUTS}"
        )
    class_name, source = (*behind, "", "")[:2]
    return (" ".join(cells[min(1, at) : at + 1]), class_name, cells[0] if at else "", source)


def _is_file_name(text: str) -> bool:
    return "." in text and bool(is_image_name(text))


def _build(entries: Iterable[_Entry], *, numbers: Sequence[int], name: str) -> ListedTable:
    table = Table(name, _MADE_COLUMNS, tuple(entries), tuple(numbers))
    return ListedTable(table, has_headings=False)


# JSON.


def _load_json(text: str, *, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_refuse_twice)
    except SourceError as error:
        raise SourceError(f"'{name}': {error}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"'{name}' is not readable JSON: {error}. {_LAYOUTS}") from error


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise SourceError("an object names one key twice. Rename or remove one of the two.")
    return found


def _read_json(value: Any, *, name: str) -> list[ListedTable]:
    """Read a list of images, or an object with one for each split."""
    if isinstance(value, list):
        return [_tabulate(value, name=name)]
    lists = (
        {key: part for key, part in value.items() if isinstance(part, list | dict)}
        if isinstance(value, dict)
        else {}
    )
    if not any(map(read_split, lists)):
        raise SourceError(f"'{name}' lists no images in a layout that is known. {_LAYOUTS}")
    return [
        _tabulate(
            part if isinstance(part, list) else _list_class_parts(part, name=name),
            name=f"{name}, {make_printable(key)}",
            split=key,
        )
        for key, part in lists.items()
    ]


def _list_class_parts(part: Mapping[str, Any], *, name: str) -> list[Any]:
    """List the images of an object that has one list for each class."""
    if not all(isinstance(files, list) for files in part.values()):
        raise SourceError(f"'{name}' lists no images in a layout that is known. {_LAYOUTS}")
    return [
        {"path": file, "class": class_name} for class_name, files in part.items() for file in files
    ]


def _tabulate(entries: Sequence[Any], *, name: str, split: str = "") -> ListedTable:
    """Build a table of objects, or of bare file names."""
    if not entries:
        raise SourceError(f"The list '{name}' is empty.")
    rows = [{"path": entry} if isinstance(entry, str) else entry for entry in entries]
    odd = next((at for at, row in enumerate(rows, start=1) if not isinstance(row, dict)), None)
    if odd is not None:
        raise SourceError(
            f"Entry {odd} of '{name}' is neither an object nor a file name. {_LAYOUTS}"
        )
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    cells = tuple(tuple(_write_cell(row.get(key)) for key in columns) for row in rows)
    has_headings = any(isinstance(entry, dict) for entry in entries)
    table = Table(name, columns, cells, tuple(range(1, len(rows) + 1)))
    return ListedTable(table, split, has_headings=has_headings)


def _write_cell(value: Any) -> str:
    """Write a value of JSON as the text that a table would have."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return "|".join(map(_write_cell, value))
    return str(value).strip()
