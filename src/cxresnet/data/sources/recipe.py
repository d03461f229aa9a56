"""A recipe: what is known of a public set, so that nobody has to say it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import SourceError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.source import Rejection, ScanResult
from cxresnet.data.sources.store import AbstractStore
from cxresnet.data.sources.stored import AbstractStoredSource
from cxresnet.data.sources.table import TableReading, TableSource

__all__ = ["Recipe", "RecipeSource"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is known of a public set.

    Attributes:
        name: Short name, as of `--recipe`; also the source of films of no known `origins`.
        title: What it is, with its authors.
        handle: Where Kaggle has it, "OWNER/SLUG" or "competitions/SLUG"; "" if it is not there.
        page: Where people find it.
        marks: Patterns; a folder in which each fits the path of some file is this set.
        class_table: From class to its folders or labels, before what the user says.
        tables: Names of its tables; none if it has class folders.
        reading: How to read the tables.
        patient: Pattern whose first group, in the path of a film, is its patient.
        origins: From pattern, in the path of a film, to the source it is known to come from; the
            first that fits decides, and the others come from `name`.
        split_lists: From split to the text file that lists its films by name.
        one_row_a_film: False if a film has several rows, and more than the first says nothing new.
        notices: What the user should hear of it.
    """

    name: str
    title: str
    handle: str
    page: str
    marks: tuple[str, ...]
    class_table: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    reading: TableReading = field(default_factory=TableReading)
    patient: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    split_lists: Mapping[str, str] = field(default_factory=dict)
    one_row_a_film: bool = True
    notices: tuple[str, ...] = ()

    def fits(self, members: Iterable[str]) -> bool:
        """Say whether files of these names are this set."""
        names = tuple(members)
        return all(any(re.search(mark, name) for name in names) for mark in self.marks)

    def find_origin(self, path: str) -> str:
        """Say which source a film comes from."""
        fitting = (name for mark, name in self.origins.items() if re.search(mark, path))
        return next(fitting, self.name)

    def build_class_map(self, table: Mapping[str, Sequence[str]] | None) -> ClassMap:
        """Build the class map: what the user says, then what is known of the set."""
        said = {label.casefold() for labels in (table or {}).values() for label in labels}
        merged: dict[str, list[str]] = {
            name: [label for label in labels if label.casefold() not in said]
            for name, labels in self.class_table.items()
        }
        for name, labels in (table or {}).items():
            merged.setdefault(name, []).extend(labels)
        return build_class_map(merged)


class RecipeSource(AbstractStoredSource):
    """A public set, in a folder or in its archive."""

    def __init__(
        self,
        store: AbstractStore,
        recipe: Recipe,
        class_table: Mapping[str, Sequence[str]] | None = None,
        *,
        use_manifest: bool = True,
        alone: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened.

        Args:
            store: With the set.
            recipe: What is known of it.
            class_table: What the user says of its labels.
            use_manifest: Take what a `manifest.csv` beside class folders says.
            alone: False where other sources are joined: a single class is then no error.
        """
        super().__init__(store, recipe.build_class_map(class_table), alone=alone)
        self.recipe = recipe
        self.use_manifest = use_manifest

    def arrange(self) -> ScanResult:
        """List the films by the recipe; see `AbstractStoredSource.scan`.

        Raises:
            SourceError: The folder does not have the tables of the set.
        """
        found = [part.arrange() for part in self._list_parts()]
        splits = self._read_split_lists()
        records = tuple(
            self._complete(record, splits) for result in found for record in result.records
        )
        rejections: Iterable[Rejection] = (row for result in found for row in result.rejections)
        if not self.recipe.one_row_a_film:
            rejections = (row for row in rejections if row.code != "duplicate-row")
        notices = (f"Read as: {self.recipe.title}.", *self.recipe.notices)
        said = (notice for result in found for notice in result.notices)
        return ScanResult(records, tuple(rejections), (*notices, *said))

    def _list_parts(self) -> Iterator[AbstractStoredSource]:
        if not self.recipe.tables:
            yield ClassFoldersSource(
                self.store, self.class_map, use_manifest=self.use_manifest, alone=False
            )
            return
        tables = [member for name in self.recipe.tables for member in self._find(name)]
        if not tables:
            raise SourceError(
                f"'{self.store.name}' has no {' or '.join(self.recipe.tables)}, which "
                f"'{self.recipe.name}' needs. Fetch all of {self.recipe.page}"
            )
        for table in tables:
            yield TableSource(
                self.store, table, self.class_map, reading=self.recipe.reading, alone=False
            )

    def _find(self, name: str) -> list[str]:
        """Find the file of a name that lies highest, if there is one."""
        members = self.store.list_members().members
        found = [member for member in members if posixpath.basename(member) == name]
        return sorted(found, key=lambda member: (member.count("/"), member))[:1]

    def _read_split_lists(self) -> dict[str, str]:
        """From the file name of a film to its given split."""
        return {
            name.strip(): split
            for split, table in self.recipe.split_lists.items()
            for member in self._find(table)
            for name in self.store.read_member(member).decode("utf-8", "replace").splitlines()
        }

    def _complete(self, record: ImageRecord, splits: Mapping[str, str]) -> ImageRecord:
        """Add what the path says; what a table or manifest said stays."""
        origin = self.recipe.find_origin(record.location)
        match = re.search(self.recipe.patient, record.location) if self.recipe.patient else None
        return replace(
            record,
            source=origin if record.source == self.store.name else record.source,
            patient_id=record.patient_id or (match[1] if match else ""),
            given_split=record.given_split or splits.get(posixpath.basename(record.location), ""),
        )
