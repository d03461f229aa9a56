"""Split lists and label tables as one list of rows: split, image, patient, class and source.

What a table does not record stays "": nothing is made up, so that a check can say that it cannot be
made. What is derived, from a file name, a folder or columns of 0 and 1, is said in a note.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from cxresnet.audit.claims.files import ListedTable, read_listed_tables
from cxresnet.audit.claims.image_names import (
    find_folder_class,
    find_folder_patient,
    find_folder_split,
    fold_path,
)
from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.core.labels import fold_label, is_placeholder
from cxresnet.core.printable import make_printable
from cxresnet.data.sources.label_rule import is_no_label
from cxresnet.data.sources.source import read_split
from cxresnet.data.sources.table import TableOptions
from cxresnet.data.sources.table_file import Table, find_columns, find_heading, read_patient

_MOST_LETTERS = 100
_MOST_SPLITS = 20
_MOST_CLASSES = 50
_ROWS_A_CLASS = 5
_MOST_FOLDER_CLASSES = 20
_NO_FINDING = "no finding"
_ONES, _OTHERS = {"1"}, {"0", "-1", ""}
_JOINED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One row of a list; "" for what is not recorded.

    Attributes:
        table: Name of its file.
        number: As an editor shows it; of JSON the place in the list, from 1.
        split: "train", "val", "test", or a name that is none of these, as written.
        image: Path or name, as written.
        patient_id: Identifying: never shown.
        class_name: As first written; of a list of findings their combination, with "|" between.
        source: As first written.
    """

    table: str
    number: int
    split: str = ""
    image: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    class_name: str = ""
    source: str = ""


@dataclass(frozen=True)
class ClaimTables:
    """All rows that the checks see.

    Attributes:
        rows: In the order of the tables.
        tables: Names of the files.
        notes: What was derived, one sentence each.
        multi_label: Whether rows name several findings.
    """

    rows: tuple[ClaimRow, ...]
    tables: tuple[str, ...]
    notes: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def without_split(self) -> tuple[ClaimRow, ...]:
        """The rows whose split is not recorded."""
        return tuple(row for row in self.rows if not row.split)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, train, val and test first."""
        found = dict.fromkeys(row.split for row in self.rows if row.split)
        known = [name for name in ("train", "val", "test") if name in found]
        return (*known, *(name for name in found if name not in known))


def read_claims(
    paths: Sequence[Path],
    *,
    splits: Sequence[tuple[str, Path]] = (),
    options: TableOptions | None = None,
) -> ClaimTables:
    """Read split lists and label tables.

    Args:
        paths: The files. The split of a row is that of its column; else of the part of a JSON file;
            else of the file name, as in `train.csv`; else of a folder in the path of the image.
        splits: Further files, each with the name of its split, which comes before all others.
        options: Columns, columns of 0 and 1, and the separator of findings.

    Raises:
        SourceError: A file cannot be read or has neither images nor patients; says what to do.
        ConfigError: A column of `options` is unknown, or there is no file at all.
        MissingExtraError: Parquet or xlsx, and the extra `tables` is not installed.
    """
    if not paths and not splits:
        raise ConfigError(
            "Name at least one table, for example 'cxresnet lint train.csv test.csv'."
        )
    reader = _Reader(options or TableOptions())
    for given, path in [*(("", path) for path in paths), *splits]:
        for listed in read_listed_tables(path):
            split = given or listed.split or find_name_split(path.stem)
            reader.read(listed, split=_read_split_name(split), overrides=bool(given))
    return reader.finish()


def find_name_split(stem: str) -> str:
    """Find the split that a file name says: "train_COVIDx9A" → "train"; "" if none or unclear.

    A file for training and validation together counts as training.

    >>> [find_name_split(name) for name in ("val_list", "train_val_list", "train_test", "latest")]
    ['val', 'train', '', '']
    """
    words = "".join(letter if letter.isalpha() else " " for letter in stem).split()
    found = {_read_claimed_split(word) for word in words} - {""}
    if found == {"train", "val"}:
        return "train"
    return found.pop() if len(found) == 1 else ""


def _read_split_name(text: str) -> str:
    """Read a split as one of ours, or keep its own name."""
    return _read_claimed_split(text) or ("" if is_no_label(text) else make_printable(text))


def _read_claimed_split(text: str) -> str:
    """Read a split as `read_split`, and a hold-out set as the test set; "" for anything else.

    >>> [_read_claimed_split(text) for text in ("holdout", "Hold-out", "Training", "fold 1")]
    ['test', 'test', 'train', '']
    """
    is_held_out = re.sub(r"[\W\d_]+", "", text.casefold()) in {"holdout", "heldout"}
    return "test" if is_held_out else read_split(text)


@dataclass
class _Reader:
    """Reads one table after another; spellings of one class or source get one name."""

    options: TableOptions
    rows: list[ClaimRow] = field(default_factory=list)
    tables: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    multi_label: bool = False

    def read(self, listed: ListedTable, *, split: str, overrides: bool) -> None:
        """Read the rows of a table.

        Args:
            listed: The table.
            split: Of all its rows, unless a column says otherwise.
            overrides: Whether `split` comes before the column.
        """
        table = listed.table
        columns = _find_claim_columns(listed, self.options)
        _require_short_cells(table, columns)
        labels = self._read_labels(table, columns)
        self.tables[table.name] = None
        if split and "split" not in columns:
            self.notes[f"The split of '{table.name}' is read as '{split}'."] = None
        find_patient, find_source = cache(read_patient), cache(_read_source)
        rows = []
        for cells, number, label in zip(table.rows, table.numbers, labels, strict=True):
            said = {role: cells[column] for role, column in columns.items()}
            rows.append(
                ClaimRow(
                    table=table.name,
                    number=number,
                    split=split if overrides else _read_split_name(said.get("split", "")) or split,
                    image=said.get("path", ""),
                    patient_id=find_patient(said.get("patient", "")),
                    class_name=label,
                    source=self._name_once(find_source(said.get("source", ""))),
                )
            )
        self.rows += self._read_folders(rows, columns)

    def finish(self) -> ClaimTables:
        """Check what is only known of all tables together, and hand them over.

        Raises:
            SourceError: No row, too many splits, or values that are no classes.
        """
        if not self.rows:
            raise SourceError("The tables have headings, but no rows. Name the full tables.")
        rows, joined = _join_label_tables(self.rows)
        found = ClaimTables(
            tuple(rows), tuple(self.tables), (*self.notes, *joined), self.multi_label
        )
        _require_labels(found)
        if len(found.splits) > _MOST_SPLITS:
            raise SourceError(
                f"The column of splits has {len(found.splits)} different values, so it is probably "
                "another column. Name the right one with --columns split=HEADING, or say that "
                "there is none with --columns split=."
            )
        return found

    def _read_labels(self, table: Table, columns: Mapping[str, int]) -> list[str]:
        """Read the class of every row, of a column of labels or of columns of 0 and 1."""
        headings = self.options.one_hot or (
            () if "class" in columns else _find_one_hot(table, columns)
        )
        if headings:
            self.notes[
                f"The class of a row of '{table.name}' is read from {len(headings)} columns of 0 "
                "and 1; several ones count as a combination, none as 'no finding'."
            ] = None
            numbers = {find_heading(table, heading): heading for heading in headings}
            return [
                self._name_class(
                    [name for number, name in numbers.items() if fold_label(row[number]) in _ONES]
                    or [_NO_FINDING]
                )
                for row in table.rows
            ]
        if "class" not in columns:
            return [""] * len(table.rows)
        separator = self.options.separator
        return [self._name_class(row[columns["class"]].split(separator)) for row in table.rows]

    def _name_class(self, findings: Iterable[str]) -> str:
        """Name the combination of findings, whatever their order and spelling."""
        names = {self._name_once(one.strip()) for one in findings if not is_no_label(one.strip())}
        self.multi_label |= len(names) > 1
        return "|".join(sorted(names))

    def _name_once(self, text: str) -> str:
        """Name a class or a source as it was first spelled."""
        if text not in self.known:
            folded = fold_label(text) or text
            self.known[text] = self.spellings.setdefault(folded, make_printable(text))
        return self.known[text]

    def _read_folders(self, rows: list[ClaimRow], columns: Mapping[str, int]) -> list[ClaimRow]:
        """Read from the folders of the images what no column records."""
        if not any(row.split for row in rows):
            rows = [replace(row, split=find_folder_split(row.image)) for row in rows]
            self._note_derived("split", any(row.split for row in rows))
        if "patient" not in columns:
            rows = [replace(row, patient_id=find_folder_patient(row.image)) for row in rows]
            self._note_derived("patient", any(row.patient_id for row in rows))
        names = {find_folder_class(row.image) for row in rows}
        if not any(row.class_name for row in rows) and len(names) <= _MOST_FOLDER_CLASSES:
            rows = [
                replace(row, class_name=self._name_once(find_folder_class(row.image)))
                for row in rows
            ]
            self._note_derived("class", any(row.class_name for row in rows))
        return rows

    def _note_derived(self, what: str, found: bool) -> None:  # noqa: FBT001
        if found:
            self.notes[f"No column has the {what}; it is read from the folders of the paths."] = (
                None
            )


def _find_claim_columns(listed: ListedTable, options: TableOptions) -> dict[str, int]:
    """Find the columns of a table.

    Raises:
        SourceError: It has neither images nor patients, or two headings of one meaning.
    """
    table = listed.table
    given = options.columns if listed.has_headings else {}
    columns = find_columns(table, given)
    if "split" not in columns and "source" in columns and "source" not in given:
        cells = {row[columns["source"]] for row in table.rows}
        if cells and all(map(read_split, cells)):  # a heading such as "dataset" for train and test
            columns["split"] = columns.pop("source")
    if "path" not in columns and "patient" not in columns:
        headings = ", ".join(f"'{make_printable(name[:40])}'" for name in table.columns[:12])
        raise SourceError(
            f"'{table.name}' has no column that we take for images or patients. Name them with "
            f"--columns path=HEADING,patient=HEADING; its first row is: {headings}."
        )
    return columns


def _find_one_hot(table: Table, columns: Mapping[str, int]) -> tuple[str, ...]:
    """Find columns of 0 and 1, also -1 and empty as in CheXpert; none if there is only one."""
    taken = set(columns.values())
    found = []
    for number, heading in enumerate(table.columns):
        values = {fold_label(row[number]) for row in table.rows}
        if number not in taken and values & _ONES and values <= _ONES | _OTHERS:
            found.append(heading)
    return tuple(found) if len(found) > 1 else ()


def _read_source(text: str) -> str:
    return "" if is_placeholder(text) else text


def _require_short_cells(table: Table, columns: Mapping[str, int]) -> None:
    """Refuse texts where a name should be, such as whole reports under "findings".

    Raises:
        SourceError: Names the column.
    """
    for role in ("class", "source", "split"):
        if role not in columns:
            continue
        for row, number in zip(table.rows, table.numbers, strict=True):
            longest = max(map(len, row[columns[role]].split("|")))
            if longest > _MOST_LETTERS:
                heading = make_printable(table.columns[columns[role]][:40])
                raise SourceError(
                    f"Row {number} of '{table.name}' has a text of {longest:,} letters in the "
                    f"column '{heading}', which is no "
                    f"name of a {role}. Name another column with --columns {role}=HEADING, or say "
                    f"that there is none with --columns {role}=."
                )


def _require_labels(found: ClaimTables) -> None:
    """Refuse a column of classes that is another one, perhaps of patients.

    Raises:
        SourceError: There are too many different values; they are not shown.
    """
    names = {row.class_name for row in found.rows if row.class_name}
    rows = sum(bool(row.class_name) for row in found.rows)
    if not found.multi_label and len(names) > _MOST_CLASSES and len(names) * _ROWS_A_CLASS > rows:
        raise SourceError(
            f"The column of classes has {len(names):,} different values in {rows:,} rows, so it "
            "is probably another column. They are not shown, because they may name patients. Name "
            "the right one with --columns class=HEADING, or say that there is none with --columns "
            "class=."
        )


# A label table beside lists of file names, as those of ChestX-ray14.


def _join_label_tables(rows: Sequence[ClaimRow]) -> tuple[list[ClaimRow], tuple[str, ...]]:
    """Fill the rows of split lists from a table without splits that names the same images.

    Returns:
        The rows, those that were joined once; and a note where that happened.
    """
    with_split = {row.table for row in rows if row.split}
    labels = {_find_name(row): row for row in rows if row.table not in with_split and row.image}
    listed = [row for row in rows if row.table in with_split]
    names = Counter(_find_name(row) for row in listed)
    shared = names.keys() & labels.keys()
    if not shared or len(shared) < _JOINED_SHARE * len(names):
        return list(rows), ()
    filled = [
        _fill(row, labels[_find_name(row)]) if _find_name(row) in shared else row for row in listed
    ]
    rest = [row for row in rows if row.table not in with_split and _find_name(row) not in shared]
    tables = sorted({labels[name].table for name in shared})
    note = (
        f"{len(shared):,} images of the split lists stand in '{', '.join(tables)}', too; their "
        "class, patient and source are read from there."
    )
    return [*filled, *rest], (note,)


def _find_name(row: ClaimRow) -> str:
    return fold_path(row.image).rpartition("/")[2]


def _fill(row: ClaimRow, other: ClaimRow) -> ClaimRow:
    return replace(
        row,
        patient_id=row.patient_id or other.patient_id,
        class_name=row.class_name or other.class_name,
        source=row.source or other.source,
    )
