"""Images named in a table: CSV, TSV, Parquet or xlsx, whatever its columns are called."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import (
    ClassMapError,
    ConfigError,
    ImageError,
    SourceError,
    UnsafePathError,
)
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import ImageFinder
from cxresnet.data.sources.safe_path import make_printable
from cxresnet.data.sources.source import AbstractStore, AbstractStoredSource, Rejection, ScanResult
from cxresnet.data.sources.table_file import (
    ImageRow,
    Table,
    find_columns,
    read_image_rows,
    read_table,
)

# The class of a label, also where a label is a list: "Pneumonia|Effusion".


MULTI_LABEL_RULE = (
    "The labels are lists of findings. An image has the class of its findings; findings without "
    "a class are ignored. It is normal only if 'normal' is the only finding. It is left out if "
    "its findings belong to two classes, or to none."
)
"""How a list of labels becomes one class, for people."""

_NORMAL = "normal"
_LEFT_OUT_NAMES = {"ignore", "skip"}


@dataclass(frozen=True)
class LabelDecision:
    """What a label comes to.

    Attributes:
        class_name: The class; "" if the image is left out.
        code: Why it is left out, one short word.
        reason: The same as a sentence.
    """

    class_name: str
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class LabelRule:
    """How labels become classes: the class map first, then patterns, then the parts of a list.

    Attributes:
        class_map: Which label means which class.
        patterns: From class (or "ignore") to a regular expression; the first that is found in a
            label decides, whatever its case.
        separator: What stands between the labels of a list.
    """

    class_map: ClassMap
    patterns: Mapping[str, str] = field(default_factory=dict)
    separator: str = "|"

    def decide(self, label: str, *, multi_label: bool) -> LabelDecision | None:
        """Decide on one label.

        Args:
            label: As written.
            multi_label: Whether labels of this table are lists; then a finding that no class claims
                leaves the image out instead of being an error.

        Returns:
            The decision; None if nobody claims the label.
        """
        if not label or label.casefold() in {"nan", "none", "n/a", "na", "null", "?"}:
            return LabelDecision("", "no-label", "The row has no label.")
        claimed = self.class_map.find(label)
        if claimed is not None:
            return self._take(claimed, label)
        for class_name, pattern in self.patterns.items():
            if re.search(pattern, label, re.IGNORECASE):
                return self._take(class_name, label)
        return self._decide_list(label) if multi_label else None

    def _take(self, class_name: str, label: str) -> LabelDecision:
        if class_name and class_name not in _LEFT_OUT_NAMES:
            return LabelDecision(self.class_map.find(class_name) or class_name)
        return LabelDecision("", "ignored", f"Images labelled '{label}' are left out.")

    def _decide_list(self, label: str) -> LabelDecision:
        """Apply `MULTI_LABEL_RULE`."""
        parts = [part.strip() for part in label.split(self.separator) if part.strip()]
        claims = [self.class_map.find(part) for part in parts]
        if "" in claims:
            return self._take("", label)
        classes = {claim for claim in claims if claim}
        if not classes:
            return LabelDecision("", "other-finding", f"No class claims '{label}'.")
        if len(classes) > 1:
            return LabelDecision("", "ambiguous", f"'{label}' means more than one class.")
        (class_name,) = classes
        if class_name == _NORMAL and None in claims:
            return LabelDecision("", "ambiguous", f"'{label}' is normal and a finding at once.")
        return LabelDecision(class_name)


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Refuse an invalid regular expression.

    Raises:
        ConfigError: Says which, and why.
    """
    for class_name, pattern in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"The pattern '{pattern}' for '{class_name}' is not a regular expression: {error}."
            ) from error


@dataclass(frozen=True, kw_only=True)
class TableOptions:
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
    """A table and the images it names; paths are relative to the table's folder and stay in it.

    A bare file name is also found deeper in the folder, if only one image has it.
    """

    def __init__(
        self,
        store: AbstractStore,
        member: str,
        class_map: ClassMap | None = None,
        *,
        table_options: TableOptions | None = None,
        require_two_classes: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            store: With the table and the images.
            member: The table.
            class_map: Which label means which class; by default what we know.
            table_options: Its columns and labels; by default guessed.
            require_two_classes: False where other sources are joined: a single class is then no
                error.

        Raises:
            ConfigError: A pattern of `table_options` is no regular expression.
        """
        super().__init__(
            store, class_map or build_class_map(), require_two_classes=require_two_classes
        )
        self.member = member
        self.table_options = table_options or TableOptions()
        check_patterns({**self.table_options.patterns, **self.table_options.keep})

    def list_records(self) -> ScanResult:
        """Read the table and find its images; see `AbstractStoredSource.scan`.

        Raises:
            SourceError: The table is not readable, or has no column of files or of classes.
            ClassMapError: A label that no class claims; names the row.
            UnsafePathError: A path that leads out of the table's folder; names the row.
        """
        rows, unfit = self._read_rows()
        multi_label = any(self.table_options.separator in row.label for row in rows)
        decisions = self._decide(rows, multi_label=multi_label)
        finder = ImageFinder(self.store, self.class_map, base=posixpath.dirname(self.member))
        records: list[tuple[ImageRow, ImageRecord]] = []
        rejections = list(unfit)
        lost_masks = 0
        for row, decision in zip(rows, decisions, strict=True):
            try:
                record, lost = self._describe(row, decision, finder)
            except ImageError as error:
                rejections.append(_reject(row, decision.class_name, error.code, str(error)))
            except UnsafePathError as error:
                raise UnsafePathError(f"Row {row.number} of '{self.member}': {error}") from error
            else:
                records.append((row, record))
                lost_masks += lost
        kept, doubled = _drop_doubles(records)
        warnings = _make_warnings(kept, rejections, multi_label=multi_label, lost_masks=lost_masks)
        return ScanResult(tuple(kept), (*rejections, *doubled), tuple(warnings))

    def _read_rows(self) -> tuple[list[ImageRow], list[Rejection]]:
        """Read the rows in our words, and those that are left out whatever their label."""
        if not self.store.find_member(self.member):
            raise SourceError(f"There is no table '{self.member}' in '{self.store.name}'.")
        table = self.table_options.parse(self.store.read_member(self.member), name=self.member)
        columns = find_columns(table, self.table_options.columns)
        for role in ("path", "class"):
            if role not in columns:
                raise SourceError(_explain_missing_column(table, role))
        kept: list[ImageRow] = []
        rejections: list[Rejection] = []
        reasons = _find_unfit_rows(table, self.table_options.keep)
        for row in read_image_rows(table, columns):
            if row.number in reasons:
                rejections.append(_reject(row, "", "excluded", reasons[row.number]))
            else:
                kept.append(row)
        return kept, rejections

    def _decide(self, rows: Iterable[ImageRow], *, multi_label: bool) -> list[LabelDecision]:
        """Decide on every label; labels repeat, so each is thought about once."""
        rule = LabelRule(self.class_map, self.table_options.patterns, self.table_options.separator)
        known: dict[str, LabelDecision] = {}
        unknown: dict[str, int] = {}
        decisions = []
        for row in rows:
            decision = known.get(row.label) or rule.decide(row.label, multi_label=multi_label)
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
        self, row: ImageRow, decision: LabelDecision, finder: ImageFinder
    ) -> tuple[ImageRecord, int]:
        """Turn a row into a record, and count the masks it names that are not there."""
        if not row.path:
            raise ImageError("no-path", f"Row {row.number} names no file.")
        if decision.code:
            raise ImageError(decision.code, decision.reason)
        member = finder.find_image(row.path)
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
    """Find the rows that are left out by a cell, and the reason."""
    reasons: dict[int, str] = {}
    for heading, pattern in keep.items():
        if heading in table.columns:
            column = table.columns.index(heading)
            for row, number in zip(table.rows, table.numbers, strict=True):
                if not re.search(pattern, row[column], re.IGNORECASE):
                    reasons[number] = f"{heading} is '{row[column]}'."
    return reasons


def _drop_doubles(
    records: Iterable[tuple[ImageRow, ImageRecord]],
) -> tuple[list[ImageRecord], list[Rejection]]:
    """Keep one row an image; an image under two classes is left out altogether."""
    groups: dict[str, list[tuple[ImageRow, ImageRecord]]] = {}
    for row, record in records:
        groups.setdefault(record.location, []).append((row, record))
    kept: list[ImageRecord] = []
    rejections: list[Rejection] = []
    for group in groups.values():
        first_row, first = group[0]
        classes = {record.class_name for _, record in group}
        if len(classes) > 1:
            reason = f"The image has two classes: {', '.join(sorted(classes))}."
            rejections += [_reject(row, r.class_name, "label-conflict", reason) for row, r in group]
            continue
        kept.append(first)
        reason = f"The image is already in row {first_row.number}."
        rejections += [_reject(row, r.class_name, "duplicate-row", reason) for row, r in group[1:]]
    return kept, rejections


def _reject(row: ImageRow, class_name: str, code: str, reason: str) -> Rejection:
    shown = make_printable(row.path) or f"row {row.number}"
    return Rejection(
        image_id=shown, class_name=class_name, code=code, reason=f"Row {row.number}: {reason}"
    )


def _make_warnings(
    records: list[ImageRecord], rejections: list[Rejection], *, multi_label: bool, lost_masks: int
) -> Iterator[str]:
    if multi_label:
        codes = Counter(rejection.code for rejection in rejections)
        yield (
            f"{MULTI_LABEL_RULE} {len(records)} images were kept; {codes['other-finding']} have "
            f"other findings, {codes['ambiguous']} are ambiguous."
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
