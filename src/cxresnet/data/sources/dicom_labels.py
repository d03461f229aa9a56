"""A table with the class of each DICOM image, named by a tag of its header or by its file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import SourceError
from cxresnet.data.decode.dicom import DicomHeader
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import is_image_name
from cxresnet.data.sources.source import (
    AbstractStore,
    AbstractStoredSource,
    ScanResult,
    read_split,
)
from cxresnet.data.sources.table_file import Table, find_columns, read_table

_FILE = "file"
_HEADINGS = {
    "SOPInstanceUID": {"sopinstanceuid", "sopuid", "instanceuid"},
    "AccessionNumber": {"accessionnumber", "accession"},
    "StudyInstanceUID": {"studyinstanceuid", "studyuid", "studyid"},
    "PatientID": {"patientid", "patient"},
}
_ORDER = ("SOPInstanceUID", _FILE, "AccessionNumber", "StudyInstanceUID", "PatientID")


@dataclass(frozen=True)
class DicomLabels:
    """From what names an image in the table to its label.

    Attributes:
        joined_on: The tag, or "file", that the table names images by.
        labels: Identifying: from the table's names to labels, as written.
    """

    joined_on: str
    labels: Mapping[str, str] = field(repr=False)

    def find(self, header: DicomHeader | None, path: str) -> str:
        """Find an image's label; "" if the table has none.

        Args:
            header: Of the image; None for a picture that is not DICOM, which has its file alone.
            path: Of its file, relative to the source.
        """
        if self.joined_on != _FILE:
            identifiers = header.identifiers if header else {}
            return self.labels.get(identifiers.get(self.joined_on, ""), "")
        file = PurePosixPath(path)
        names = (path, str(file.with_suffix("")), file.name, file.stem)
        return next((self.labels[name] for name in names if self.labels.get(name)), "")


def read_dicom_labels(path: Path) -> DicomLabels:
    """Read a table with a column of labels and one that names images.

    Images are named by SOPInstanceUID, file, AccessionNumber, StudyInstanceUID or PatientID; of
    several such columns the first in this order counts.

    Args:
        path: CSV, TSV, Parquet or xlsx.

    Raises:
        SourceError: It cannot be read, lacks such a column, or gives one image two labels.
    """
    try:
        table = read_table(path.read_bytes(), name=path.name)
    except OSError as error:
        raise SourceError(f"The table '{path}' cannot be read: {error.strerror}.") from error
    roles = find_columns(table)
    joined_on, column = _find_join(table, roles)
    if "class" not in roles or column is None:
        raise SourceError(
            f"'{table.name}' needs a column of labels, for example 'class', and one that names "
            f"images: {', '.join(_ORDER)}. It has: {', '.join(filter(None, table.columns))}."
        )
    return DicomLabels(joined_on, _index_labels(table, column, roles["class"]))


def _find_join(table: Table, roles: Mapping[str, int]) -> tuple[str, int | None]:
    normalised = [re.sub(r"[^0-9a-z]+", "", heading.casefold()) for heading in table.columns]
    for kind in _ORDER:
        if kind == _FILE and "path" in roles:
            return kind, roles["path"]
        for number, heading in enumerate(normalised):
            if heading in _HEADINGS.get(kind, ()):
                return kind, number
    return "", None


def _index_labels(table: Table, name_column: int, class_column: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    for row, number in zip(table.rows, table.numbers, strict=True):
        name, label = row[name_column].replace("\\", "/"), row[class_column]
        if not name or not label:
            continue
        if labels.setdefault(name, label) != label:
            raise SourceError(
                f"Row {number} of '{table.name}' gives an image a second label. "
                "Keep one row an image, or take out the images in doubt."
            )
    return labels


class UnlabelledSource(AbstractStoredSource):
    """Every file that may be an image, its class still open: a table of labels will say it."""

    def __init__(self, store: AbstractStore, class_map: ClassMap) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            store: With the images.
            class_map: Which label means which class.
        """
        super().__init__(store, class_map, require_two_classes=False)

    def list_records(self) -> ScanResult:
        """List the files; see `AbstractStoredSource.scan`."""
        listing = self.store.list_members()
        records = (
            ImageRecord(
                image_id=member,
                location=member,
                class_name="",
                source=self.name,
                given_split=next(filter(None, map(read_split, member.split("/")[:-1])), ""),
            )
            for member in listing.members
            if member in self.known_images or is_image_name(member) is not None
        )
        return ScanResult(tuple(records), listing.rejections)
