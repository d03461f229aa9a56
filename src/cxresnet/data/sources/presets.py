"""A dataset preset: the layout and the metadata of a public dataset, known in advance."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cxresnet.core.classes import ClassMap, build_class_map, override_class_table
from cxresnet.core.errors import SourceError
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.source import AbstractStore, AbstractStoredSource, Rejection, ScanResult
from cxresnet.data.sources.table import TableOptions, TableSource


@dataclass(frozen=True, kw_only=True)
class DatasetPreset:
    """What is known of a public set.

    Attributes:
        name: Short name, as of `--dataset-preset`; also the source of images of no known `origins`.
        title: What it is, with its authors.
        handle: Where Kaggle has it, "OWNER/SLUG" or "competitions/SLUG"; "" if it is not there.
        page: Where people find it.
        path_patterns: Patterns; a folder in which each fits the path of some file is this set.
        class_table: From class to its folders or labels, before what the user says.
        tables: Names of its tables; none if it has class folders.
        table_options: How to read the tables.
        patient: Pattern whose first group, in the path of an image, is its patient.
        origins: From pattern, in the path of an image, to the source it is known to come from; the
            first that fits decides, and the others come from `name`.
        split_lists: From split to the text file that lists its images by name.
        one_row_per_image: False if an image has several rows, and more than the first says nothing
            new.
        warnings: What the user should hear of it.
    """

    name: str
    title: str
    handle: str
    page: str
    path_patterns: tuple[str, ...]
    class_table: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    table_options: TableOptions = field(default_factory=TableOptions)
    patient: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    split_lists: Mapping[str, str] = field(default_factory=dict)
    one_row_per_image: bool = True
    warnings: tuple[str, ...] = ()

    def matches(self, members: Iterable[str]) -> bool:
        """Say whether files of these names are this set."""
        names = tuple(members)
        return all(
            any(re.search(pattern, name) for name in names) for pattern in self.path_patterns
        )

    def find_origin(self, path: str) -> str:
        """Say which source an image comes from."""
        matching = (name for pattern, name in self.origins.items() if re.search(pattern, path))
        return next(matching, self.name)

    def build_class_map(self, table: Mapping[str, Sequence[str]] | None) -> ClassMap:
        """Build the class map: the user's table first, then that of the preset."""
        named = build_class_map(table).named
        return replace(
            build_class_map(override_class_table(self.class_table, table or {})), named=named
        )


class DatasetPresetSource(AbstractStoredSource):
    """A public set, in a folder or in its archive."""

    def __init__(
        self,
        store: AbstractStore,
        dataset_preset: DatasetPreset,
        class_table: Mapping[str, Sequence[str]] | None = None,
        *,
        use_manifest: bool = True,
        require_two_classes: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            store: With the set.
            dataset_preset: What is known of it.
            class_table: What the user says of its labels.
            use_manifest: Take what a `manifest.csv` beside class folders says.
            require_two_classes: False where other sources are joined: a single class is then no
                error.
        """
        super().__init__(
            store,
            dataset_preset.build_class_map(class_table),
            require_two_classes=require_two_classes,
        )
        self.dataset_preset = dataset_preset
        self.use_manifest = use_manifest

    def list_records(self) -> ScanResult:
        """List the images by the preset; see `AbstractStoredSource.scan`.

        Raises:
            SourceError: The folder does not have the tables of the set.
        """
        parts = list(self._list_parts())
        for part in parts:
            part.known_images = self.known_images
        found = [part.list_records() for part in parts]
        splits = self._read_split_lists()
        records = tuple(
            self._complete(record, splits) for result in found for record in result.records
        )
        rejections: Iterable[Rejection] = (row for result in found for row in result.rejections)
        if not self.dataset_preset.one_row_per_image:
            rejections = (row for row in rejections if row.code != "duplicate-row")
        warnings = (f"Read as: {self.dataset_preset.title}.", *self.dataset_preset.warnings)
        said = (warning for result in found for warning in result.warnings)
        classes = {name for result in found for name in result.classes}
        return ScanResult(records, tuple(rejections), (*warnings, *said), tuple(sorted(classes)))

    def _list_parts(self) -> Iterator[AbstractStoredSource]:
        if not self.dataset_preset.tables:
            yield ClassFoldersSource(
                self.store,
                self.class_map,
                use_manifest=self.use_manifest,
                require_two_classes=False,
            )
            return
        tables = [member for name in self.dataset_preset.tables for member in self._find(name)]
        if not tables:
            raise SourceError(
                f"'{self.store.name}' has no {' or '.join(self.dataset_preset.tables)}, which "
                f"'{self.dataset_preset.name}' needs. Fetch all of {self.dataset_preset.page}"
            )
        for table in tables:
            yield TableSource(
                self.store,
                table,
                self.class_map,
                table_options=self.dataset_preset.table_options,
                require_two_classes=False,
            )

    def _find(self, name: str) -> list[str]:
        """Find the file of a name that lies highest, if there is one."""
        members = self.store.list_members().members
        found = [member for member in members if posixpath.basename(member) == name]
        return sorted(found, key=lambda member: (member.count("/"), member))[:1]

    def _read_split_lists(self) -> dict[str, str]:
        """From the file name of an image to its given split."""
        return {
            name.strip(): split
            for split, table in self.dataset_preset.split_lists.items()
            for member in self._find(table)
            for name in self.store.read_member(member).decode("utf-8", "replace").splitlines()
        }

    def _complete(self, record: ImageRecord, splits: Mapping[str, str]) -> ImageRecord:
        """Add what the path tells; entries of a table or manifest stay."""
        origin = self.dataset_preset.find_origin(record.location)
        match = (
            re.search(self.dataset_preset.patient, record.location)
            if self.dataset_preset.patient
            else None
        )
        return replace(
            record,
            source=origin if record.source == self.store.name else record.source,
            patient_id=record.patient_id or (match[1] if match else ""),
            given_split=record.given_split or splits.get(posixpath.basename(record.location), ""),
        )
