"""Films named in a table: CSV, TSV, Parquet or xlsx, whatever its columns are called."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ClassMapError, FilmError, SourceError, UnsafePathError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.columns import FilmRow, find_columns, read_film_rows
from cxresnet.data.sources.film_finder import FilmFinder
from cxresnet.data.sources.labels import SEVERAL_RULE, LabelDecision, LabelRule, check_patterns
from cxresnet.data.sources.safe_path import make_printable
from cxresnet.data.sources.source import Rejection, ScanResult
from cxresnet.data.sources.store import AbstractStore
from cxresnet.data.sources.stored import AbstractStoredSource
from cxresnet.data.sources.table_file import Table, read_table

__all__ = ["TableReading", "TableSource"]


@dataclass(frozen=True, kw_only=True)
class TableReading:
    """How to read somebody's table.

    Attributes:
        columns: From role to heading where the guess would be wrong; see `columns.COLUMN_ROLES`.
        patterns: From class to a regular expression; see `LabelRule`.
        separator: What stands between the labels of a list.
        keep: From heading to a regular expression that its cell must fit; other rows are left out.
        parse: Reads the table from its bytes and its name, where it is none of the usual kinds.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    separator: str = "|"
    keep: Mapping[str, str] = field(default_factory=dict)
    parse: Callable[..., Table] = read_table


class TableSource(AbstractStoredSource):
    """A table and the films it names; paths are relative to the table's folder and stay in it.

    A bare file name is also found deeper in the folder, if only one film has it.
    """

    def __init__(
        self,
        store: AbstractStore,
        member: str,
        class_map: ClassMap | None = None,
        *,
        reading: TableReading | None = None,
        alone: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened.

        Args:
            store: With the table and the films.
            member: The table.
            class_map: Which label means which class; by default what we know.
            reading: Its columns and labels; by default guessed.
            alone: False where other sources are joined: a single class is then no error.

        Raises:
            ConfigError: A pattern of `reading` is no regular expression.
        """
        super().__init__(store, class_map or build_class_map(), alone=alone)
        self.member = member
        self.reading = reading or TableReading()
        check_patterns({**self.reading.patterns, **self.reading.keep})

    def arrange(self) -> ScanResult:
        """Read the table and find its films; see `AbstractStoredSource.scan`.

        Raises:
            SourceError: The table is not readable, or has no column of files or of classes.
            ClassMapError: A label that no class claims; names the row.
            UnsafePathError: A path that leads out of the table's folder; names the row.
        """
        rows, unfit = self._read_rows()
        several = any(self.reading.separator in row.label for row in rows)
        decisions = self._decide(rows, several=several)
        finder = FilmFinder(self.store, self.class_map, base=posixpath.dirname(self.member))
        records: list[tuple[FilmRow, ImageRecord]] = []
        rejections = list(unfit)
        lost_masks = 0
        for row, decision in zip(rows, decisions, strict=True):
            try:
                record, lost = self._describe(row, decision, finder)
            except FilmError as error:
                rejections.append(_reject(row, decision.class_name, error.code, str(error)))
            except UnsafePathError as error:
                raise UnsafePathError(f"Row {row.number} of '{self.member}': {error}") from error
            else:
                records.append((row, record))
                lost_masks += lost
        kept, doubled = _drop_doubles(records)
        notices = _make_notices(kept, rejections, several=several, lost_masks=lost_masks)
        return ScanResult(tuple(kept), (*rejections, *doubled), tuple(notices))

    def _read_rows(self) -> tuple[list[FilmRow], list[Rejection]]:
        """Read the rows in our words, and those that are left out whatever their label."""
        if not self.store.find_member(self.member):
            raise SourceError(f"There is no table '{self.member}' in '{self.store.name}'.")
        table = self.reading.parse(self.store.read_member(self.member), name=self.member)
        columns = find_columns(table, self.reading.columns)
        for role in ("path", "class"):
            if role not in columns:
                raise SourceError(_explain_missing_column(table, role))
        kept: list[FilmRow] = []
        rejections: list[Rejection] = []
        reasons = _find_unfit_rows(table, self.reading.keep)
        for row in read_film_rows(table, columns):
            if row.number in reasons:
                rejections.append(_reject(row, "", "left-out", reasons[row.number]))
            else:
                kept.append(row)
        return kept, rejections

    def _decide(self, rows: Iterable[FilmRow], *, several: bool) -> list[LabelDecision]:
        """Decide on every label; labels repeat, so each is thought about once."""
        rule = LabelRule(self.class_map, self.reading.patterns, self.reading.separator)
        known: dict[str, LabelDecision] = {}
        unknown: dict[str, int] = {}
        decisions = []
        for row in rows:
            decision = known.get(row.label) or rule.decide(row.label, several=several)
            if decision is None:
                unknown.setdefault(row.label, row.number)
                continue
            known[row.label] = decision
            decisions.append(decision)
        if unknown:
            where = f"Row {unknown[min(unknown)]} of '{self.member}'"
            raise ClassMapError(f"{where}: {self.class_map.explain_unknown(unknown)}")
        return decisions

    def _describe(
        self, row: FilmRow, decision: LabelDecision, finder: FilmFinder
    ) -> tuple[ImageRecord, int]:
        """Turn a row into a record, and count the masks it names that are not there."""
        if not row.path:
            raise FilmError("no-path", f"Row {row.number} names no file.")
        if decision.code:
            raise FilmError(decision.code, decision.reason)
        member = finder.find_film(row.path)
        masks = [path and finder.find_file(path) for path in (row.lung_mask, row.lesion_mask)]
        record = ImageRecord(
            image_id=make_printable(member),
            location=member,
            class_name=decision.class_name,
            source=row.source or self.name,
            patient_id=row.patient_id,
            given_split=row.given_split,
            view=row.view,
            age_years=row.age_years,
            sex=row.sex,
            lung_mask=masks[0],
            lesion_mask=masks[1],
        )
        named = bool(row.lung_mask) + bool(row.lesion_mask)
        return record, named - sum(map(bool, masks))


def _find_unfit_rows(table: Table, keep: Mapping[str, str]) -> dict[int, str]:
    """Find the rows that are left out by a cell, and say by which."""
    reasons: dict[int, str] = {}
    for heading, pattern in keep.items():
        if heading in table.columns:
            column = table.columns.index(heading)
            for row, number in zip(table.rows, table.numbers, strict=True):
                if not re.search(pattern, row[column], re.IGNORECASE):
                    reasons[number] = f"{heading} is '{row[column]}'."
    return reasons


def _drop_doubles(
    records: Iterable[tuple[FilmRow, ImageRecord]],
) -> tuple[list[ImageRecord], list[Rejection]]:
    """Keep one row a film; a film under two classes is left out altogether."""
    groups: dict[str, list[tuple[FilmRow, ImageRecord]]] = {}
    for row, record in records:
        groups.setdefault(record.location, []).append((row, record))
    kept: list[ImageRecord] = []
    rejections: list[Rejection] = []
    for group in groups.values():
        first_row, first = group[0]
        classes = {record.class_name for _, record in group}
        if len(classes) > 1:
            reason = f"The film stands under two classes: {', '.join(sorted(classes))}."
            rejections += [_reject(row, r.class_name, "label-conflict", reason) for row, r in group]
            continue
        kept.append(first)
        reason = f"The film stands already in row {first_row.number}."
        rejections += [_reject(row, r.class_name, "duplicate-row", reason) for row, r in group[1:]]
    return kept, rejections


def _reject(row: FilmRow, class_name: str, code: str, reason: str) -> Rejection:
    shown = make_printable(row.path) or f"row {row.number}"
    return Rejection(
        image_id=shown, class_name=class_name, code=code, reason=f"Row {row.number}: {reason}"
    )


def _make_notices(
    records: list[ImageRecord], rejections: list[Rejection], *, several: bool, lost_masks: int
) -> Iterator[str]:
    if several:
        codes = Counter(rejection.code for rejection in rejections)
        yield (
            f"{SEVERAL_RULE} {len(records)} films were kept; {codes['other-finding']} have other "
            f"findings, {codes['ambiguous']} are ambiguous."
        )
    if lost_masks:
        yield f"The table names {lost_masks} masks that are not there."


def _explain_missing_column(table: Table, role: str) -> str:
    headings = [column for column in table.columns if column]
    taken = {table.columns[number] for number in find_columns(table).values()}
    free = [column for column in headings if column not in taken] or headings or ["HEADING"]
    return (
        f"'{table.name}' has no column that we take for the {'file' if role == 'path' else role}. "
        f"Say which it is with --columns {role}={free[0]}; "
        f"it has: {', '.join(headings)}."
    )
