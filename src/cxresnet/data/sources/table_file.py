"""Reading tables: CSV, TSV, Parquet or xlsx bytes become rows of text."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxresnet.core.errors import ConfigError, MissingExtraError, SourceError
from cxresnet.core.labels import fold_label, is_placeholder
from cxresnet.data.sources.source import read_split

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
    """Read a table; its kind is recognised by the ending of its name.

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
    """Read rows, each with its line; Excel's first line `sep=;` names the delimiter."""
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r'"?sep=(.)"?', first.rstrip("\r"), re.IGNORECASE)
    if stated:
        delimiter, text = stated[1], rest
    else:
        delimiter = "\t" if kind in {"tsv", "tab"} else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    cells = []
    before = int(bool(stated))
    start = before + 1
    try:
        for row in reader:
            cells.append((start, [cell.strip() for cell in row]))
            start = before + reader.line_num + 1
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


# Cells, as the words that the manifest uses.


_VIEWS = {
    "pa": "PA", "ap": "AP", "apsupine": "AP supine", "aperect": "AP erect",
    "lateral": "lateral", "lat": "lateral", "l": "lateral", "ll": "lateral", "rl": "lateral",
}  # fmt: skip


def read_age(text: str) -> str:
    """Read an age as whole years: "058Y" → "58", "7.5" → "7", "10M" → "0"; "" if unknown.

    Ages over 120 are mistakes of typing (ChestX-ray14 has 412) and count as unknown.
    """
    match = re.fullmatch(r"\s*(\d{1,4})(?:\.\d*)?\s*([YyMmWwDd]?)\w*\s*", text)
    if match is None:
        return ""
    per_year = {"m": 12, "w": 52, "d": 365}.get(match[2].casefold(), 1)
    years = int(match[1]) // per_year
    return str(years) if years <= 120 else ""


def read_sex(text: str) -> str:
    """Read "Female", "f" or "M" as "F" or "M"; "" for anything else."""
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(text.strip().casefold(), "")


def read_view(text: str) -> str:
    """Read "pa" or "Pa" as "PA", "AP_Supine" as "AP supine"; anything else as it is written."""
    return _VIEWS.get(re.sub(r"[\W\d_]+", "", text.casefold()), text.strip())


def read_patient(text: str) -> str:
    """Read a patient's id as it is written; "" for a placeholder such as "unknown" or "0"."""
    return "" if is_placeholder(text) else text


# The meaning of each column of a table, recognised by its heading or named by the user.


COLUMN_ROLES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path", "file", "filename", "filepath", "imagepath", "imagefile", "imageindex", "image",
        "img", "imagename", "imageid", "imagefilename", "dicompath",
    ),
    "class": (
        "class", "classname", "label", "labels", "finding", "findings", "findinglabels",
        "diagnosis", "category", "classlabel", "target",
    ),
    "patient": ("patientid", "patient", "subjectid", "subject", "patientnumber", "pid"),
    "source": ("source", "hospital", "site", "institution", "collection", "dataset", "origin"),
    "view": ("view", "viewposition", "projection"),
    "age": ("ageyears", "age", "patientage"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "split": ("split", "givensplit", "subset", "partition"),
    "mask": ("lungmask", "mask", "maskpath", "lungmaskpath", "lungs"),
    "lesion_mask": ("lesionmask", "lesions", "lesionmaskpath"),
}  # fmt: skip
"""From what a column can mean to the headings that we take for it, likeliest first."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One row of a table, in our words; "" for what is not recorded.

    Attributes:
        number: As an editor shows it; the heading is row 1.
        path: As written.
        label: As written.
        patient_id: As written; "" for a placeholder.
        source: As written.
        view: "PA", "AP", "lateral" and the like; another one as written.
        age_years: Whole years.
        sex: "F", "M" or "".
        given_split: "train", "val", "test" or "".
        lung_mask: Path, as written.
        lesion_mask: Path, as written.
    """

    number: int
    path: str
    label: str
    patient_id: str
    source: str
    view: str
    age_years: str
    sex: str
    given_split: str
    lung_mask: str
    lesion_mask: str


def find_columns(table: Table, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Find the column of each role that the table has.

    Args:
        table: With its headings.
        given: From role (see `COLUMN_ROLES`) to the heading, where the guess would be wrong; an
            empty heading means: the table does not have it, whatever its columns are called.

    Returns:
        From role to the number of its column, from 0.

    Raises:
        ConfigError: `given` names an unknown role.
        SourceError: `given` names a heading that the table does not have; or several columns have
            the heading.
    """
    for role in given or {}:
        _check_role(role)
    found: dict[str, int] = {}
    for role, guesses in COLUMN_ROLES.items():
        if given and role in given:
            if given[role]:
                found[role] = find_heading(table, given[role])
            continue
        numbers = (_find_spelling(table, guess) for guess in guesses)
        number = next((number for number in numbers if number is not None), None)
        if number is not None:
            found[role] = number
    return found


def parse_columns(text: str) -> dict[str, str]:
    """Read `--columns path=file,class=finding` as `find_columns` takes it.

    Args:
        text: Pairs `role=heading` with commas between; `role=` says that there is no such column.

    Raises:
        ConfigError: A pair has no "=", or the role is unknown.

    >>> parse_columns("path=Image Index,source=")
    {'path': 'Image Index', 'source': ''}
    """
    columns: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        role, equals, heading = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ConfigError(
                f"--columns: '{pair}' is not of the form role=heading; "
                "write for example --columns path=file,class=finding."
            )
        _check_role(role)
        columns[role] = heading
    return columns


def _check_role(role: str) -> None:
    if role not in COLUMN_ROLES:
        raise ConfigError(f"'{role}' is not a known column. Known: {', '.join(COLUMN_ROLES)}.")


def read_image_rows(table: Table, columns: Mapping[str, int]) -> list[ImageRow]:
    """Read every row in our words.

    Args:
        table: The table.
        columns: As of `find_columns`.
    """

    def cell(row: tuple[str, ...], role: str) -> str:
        return row[columns[role]] if role in columns else ""

    return [
        ImageRow(
            number=number,
            path=cell(row, "path"),
            label=cell(row, "class"),
            patient_id=read_patient(cell(row, "patient")),
            source=cell(row, "source"),
            view=read_view(cell(row, "view")),
            age_years=read_age(cell(row, "age")),
            sex=read_sex(cell(row, "sex")),
            given_split=read_split(cell(row, "split")),
            lung_mask=cell(row, "mask"),
            lesion_mask=cell(row, "lesion_mask"),
        )
        for row, number in zip(table.rows, table.numbers, strict=True)
    ]


def find_heading(table: Table, heading: str) -> int:
    """Find the column of a heading as the user writes it.

    Raises:
        SourceError: There is none, or there are several.
    """
    if heading in table.columns:
        return table.columns.index(heading)
    found = _find_spelling(table, fold_label(heading))
    if found is not None:
        return found
    close = difflib.get_close_matches(heading, table.columns, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise SourceError(
        f"'{table.name}' has no column '{heading}'.{hint} "
        f"It has: {', '.join(column for column in table.columns if column)}."
    )


def _find_spelling(table: Table, folded: str) -> int | None:
    """Find the one column whose heading folds to a text; None if there is none.

    Raises:
        SourceError: There are several, so that one of them would be taken without a word.
    """
    found = [number for number, name in enumerate(table.columns) if fold_label(name) == folded]
    if len(found) > 1 and folded:
        names = "' and '".join(table.columns[number] for number in found)
        raise SourceError(
            f"'{table.name}' has several columns of one name: '{names}'. Rename all but one."
        )
    return found[0] if found and folded else None
