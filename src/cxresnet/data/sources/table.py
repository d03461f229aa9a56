"""Images named in a table: CSV, TSV, Parquet or xlsx, whatever its columns are called."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import (
    ClassMapError,
    ImageError,
    SourceError,
    UnsafePathError,
)
from cxresnet.core.printable import make_printable
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import find_mask_kind, is_image_name
from cxresnet.data.sources.label_rule import (
    MULTI_LABEL_RULE,
    LabelDecision,
    LabelRule,
    check_patterns,
    explain_unclaimed,
    list_one_hot_columns,
)
from cxresnet.data.sources.names import NameIndex, fold_spelling, group_spellings
from cxresnet.data.sources.safe_path import normalise_path
from cxresnet.data.sources.source import AbstractStore, AbstractStoredSource, Rejection, ScanResult
from cxresnet.data.sources.table_file import (
    ImageRow,
    Table,
    find_columns,
    find_heading,
    read_image_rows,
    read_table,
)


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How to read somebody's table.

    Attributes:
        columns: From role to heading where the guess would be wrong; see `columns.COLUMN_ROLES`.
        patterns: From class to a regular expression; see `LabelRule`.
        separator: What stands between the labels of a list.
        one_hot: Headings of columns of 0 and 1, one for each class, in place of a column of labels.
        keep: From heading to a regular expression that its cell must fit; other rows are left out.
        parse: Reads the table from its bytes and its name, where it is none of the usual kinds.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    separator: str = "|"
    one_hot: Sequence[str] = ()
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
        table, columns = self._read_table()
        rows, unfit = _read_fit_rows(table, columns, self.table_options.keep)
        rule = LabelRule(self.class_map, self.table_options.patterns, self.table_options.separator)
        multi_label = any(self.table_options.separator in row.label for row in rows)
        decisions = (
            self._decide_one_hot(rule, table, rows)
            if self.table_options.one_hot
            else self._decide(rule, rows, multi_label=multi_label)
        )
        finder = ImageFinder(
            self.store,
            self.class_map,
            base=posixpath.dirname(self.member),
            known_images=self.known_images,
        )
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
        claimed = {self.class_map.find(heading) or "" for heading in self.table_options.one_hot}
        claimed |= {decision.class_name for decision in decisions}
        return ScanResult(
            tuple(kept), (*rejections, *doubled), tuple(warnings), tuple(sorted(claimed - {""}))
        )

    def _read_table(self) -> tuple[Table, dict[str, int]]:
        """Read the table and find its columns."""
        if not self.store.find_member(self.member):
            raise SourceError(f"There is no table '{self.member}' in '{self.store.name}'.")
        table = self.table_options.parse(self.store.read_member(self.member), name=self.member)
        columns = find_columns(table, self.table_options.columns)
        if self.table_options.one_hot:
            columns.pop("class", None)
        elif "class" not in columns:
            one_hot = _suggest_one_hot(table, self.class_map)
            raise SourceError(one_hot or _explain_missing_column(table, "class"))
        if "path" not in columns:
            raise SourceError(_explain_missing_column(table, "path"))
        return table, columns

    def _decide(
        self, rule: LabelRule, rows: Sequence[ImageRow], *, multi_label: bool
    ) -> list[LabelDecision]:
        """Decide on every label; labels repeat, so each is thought about once."""
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
            first = min(unknown)
            explained = explain_unclaimed(self.class_map, unknown, (row.label for row in rows))
            raise ClassMapError(
                f"Row {unknown[first]} of '{self.member}': {explained}{rule.explain_list(first)}"
            )
        return decisions

    def _decide_one_hot(
        self, rule: LabelRule, table: Table, rows: Iterable[ImageRow]
    ) -> list[LabelDecision]:
        """Decide on every row by its columns of 0 and 1.

        Raises:
            SourceError: The table does not have one of the columns.
            ClassMapError: No class claims the heading of one.
        """
        headings = {heading: find_heading(table, heading) for heading in self.table_options.one_hot}
        unclaimed = [heading for heading in headings if self.class_map.find(heading) is None]
        if unclaimed:
            raise ClassMapError(f"--one-hot: {self.class_map.explain_unknown(unclaimed)}")
        by_number = dict(zip(table.numbers, table.rows, strict=True))
        return [
            rule.decide_one_hot(
                {name: by_number[row.number][column] for name, column in headings.items()}
            )
            for row in rows
        ]

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


def _read_fit_rows(
    table: Table, columns: Mapping[str, int], keep: Mapping[str, str]
) -> tuple[list[ImageRow], list[Rejection]]:
    """Read the rows in our words, and those that are left out whatever their label."""
    kept: list[ImageRow] = []
    rejections: list[Rejection] = []
    reasons = _find_unfit_rows(table, keep)
    for row in read_image_rows(table, columns):
        if row.number in reasons:
            rejections.append(_reject(row, "", "excluded", reasons[row.number]))
        else:
            kept.append(row)
    return kept, rejections


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


def _suggest_one_hot(table: Table, class_map: ClassMap) -> str:
    """Say how to read columns of 0 and 1 for classes; "" if there are none."""
    headings = list_one_hot_columns(table, class_map)
    if len(headings) < 2:
        return ""
    return (
        f"'{table.name}' has no column of labels, but one of 0 and 1 for each of several classes. "
        f"Read them with --one-hot {shlex.quote(','.join(headings))}."
    )


def _explain_missing_column(table: Table, role: str) -> str:
    headings = [column for column in table.columns if column]
    taken = {table.columns[number] for number in find_columns(table).values()}
    free = [column for column in headings if column not in taken] or headings or ["HEADING"]
    return (
        f"'{table.name}' has no column that we take for the {'file' if role == 'path' else role}. "
        f"Say which it is with --columns {role}={free[0]}; "
        f"it has: {', '.join(headings)}."
    )


# Finding the file that a path in a table means.


class ImageFinder:
    """Finds files by path; and images by a bare name, wherever below the folder they lie."""

    def __init__(
        self,
        store: AbstractStore,
        class_map: ClassMap,
        *,
        base: str,
        known_images: Container[str] = (),
    ) -> None:
        """Keep where to look.

        Args:
            store: With the files.
            class_map: A folder of masks may have the name of a class; then it holds images.
            base: Folder in the store that paths are relative to; "" for the top.
            known_images: Members that are images whatever their name says.
        """
        self.store = store
        self.class_map = class_map
        self.base = base
        self.known_images = known_images

    def find_file(self, path: str) -> str:
        """Find the member at a path; "" if there is none.

        Raises:
            ImageError: "ambiguous-name" if several files differ only in their spelling.
            UnsafePathError: The path leads out of the table's folder.
        """
        joined = self._join(path)
        return self.store.find_member(joined) or _take_only(self._files.find(joined), path)

    def find_image(self, path: str) -> str:
        """Find the image that a path or a bare name means, with or without its ending.

        Raises:
            ImageError: "missing", or "ambiguous-name" if several images have this name.
            UnsafePathError: The path leads out of the table's folder.
        """
        found = self.find_images(path)
        if not found:
            shown = make_printable(path)
            raise ImageError("missing", f"There is no file '{shown}' in the folder of the table.")
        return _take_only(found, path)

    def find_images(self, path: str) -> tuple[str, ...]:
        """Find all images that a path or a bare name may mean; raises `UnsafePathError` alone."""
        joined = self._join(path)
        member = self.store.find_member(joined)
        if member:
            return (member,)
        is_bare = "/" not in posixpath.relpath(joined or ".", self.base or ".")
        return self._images.find(joined, any_ending=True) or (
            self._find_deeper(posixpath.basename(joined)) if is_bare else ()
        )

    def _join(self, path: str) -> str:
        """Bring a path to the form of members; it may begin with the place of the store itself."""
        tidy = path.strip()
        inner = self.store.make_relative(tidy)
        base = self.base if inner == tidy else ""
        return posixpath.join(base, normalise_path(inner))

    def _find_deeper(self, name: str) -> tuple[str, ...]:
        """Find images by a bare name: those spelled exactly so, else in any spelling."""
        found = self._by_name.get(fold_spelling(name), ())
        exact = (member for member in found if name in _list_names(member))
        return tuple(exact) or found

    @cached_property
    def _files(self) -> NameIndex:
        return NameIndex(self.store.list_members().members)

    @cached_property
    def _images(self) -> NameIndex:
        return NameIndex(
            member
            for member in self._files.members
            if (member in self.known_images or is_image_name(member))
            and not find_mask_kind(member, self.class_map)
        )

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        """Every image below the folder, by its name and by its name without the ending."""
        pairs = {
            (fold_spelling(name), member)
            for member in self._images.members
            for name in _list_names(member)
        }
        keys, members = zip(*sorted(pairs), strict=True) if pairs else ((), ())
        return group_spellings(keys, members)


def _list_names(member: str) -> tuple[str, str]:
    name = posixpath.basename(member)
    return name, posixpath.splitext(name)[0]


def _take_only(found: tuple[str, ...], path: str) -> str:
    """Take the one file that was found; "" for none.

    Raises:
        ImageError: "ambiguous-name" if there are several.
    """
    if len(found) > 1:
        raise ImageError(
            "ambiguous-name",
            f"{len(found)} files are called '{make_printable(path)}', for example '{found[0]}' and "
            f"'{found[1]}'. Write the path in the table, spelled as on the disk.",
        )
    return found[0] if found else ""
