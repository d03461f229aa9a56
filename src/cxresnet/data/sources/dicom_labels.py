"""A table with the class of each DICOM image, named by a tag of its header or by its file."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import SourceError, UnsafePathError
from cxresnet.data.decode.dicom import DicomHeader
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import is_image_name
from cxresnet.data.sources.source import (
    AbstractStore,
    AbstractStoredSource,
    ScanResult,
    read_split,
)
from cxresnet.data.sources.table import ImageFinder
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
        labels: Identifying: from the tag's value, or the member of the store, to the label as
            written.
        given: All labels of the table, also of images that are not there.
        doubtful: Members that share their name in the table with others.
    """

    joined_on: str
    labels: Mapping[str, str] = field(repr=False)
    given: frozenset[str] = frozenset()
    doubtful: frozenset[str] = field(default=frozenset(), repr=False)

    def find(self, header: DicomHeader | None, member: str) -> str:
        """Find an image's label; "" if the table has none.

        Args:
            header: Of the image; None for a picture that is not DICOM, which has its file alone.
            member: Of the store.
        """
        if self.joined_on == _FILE:
            return self.labels.get(member, "")
        identifiers = header.identifiers if header else {}
        return self.labels.get(identifiers.get(self.joined_on, ""), "")


def read_dicom_labels(path: Path, finder: ImageFinder) -> DicomLabels:
    """Read a table with a column of labels and one that names images.

    Images are named by SOPInstanceUID, file, AccessionNumber, StudyInstanceUID or PatientID; of
    several such columns the first in this order counts. Files are found as those of any table;
    their paths begin at the folder of the images or at that of the table.

    Args:
        path: CSV, TSV, Parquet or xlsx.
        finder: Of the images.

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
    labels: dict[str, str] = {}
    given: set[str] = set()
    doubtful: set[str] = set()
    for row, number in zip(table.rows, table.numbers, strict=True):
        name, label = row[column], row[roles["class"]]
        if not name or not label:
            continue
        given.add(label)
        found = _find_files(finder, name, beside=path.parent) if joined_on == _FILE else (name,)
        if len(found) > 1:
            doubtful.update(found)
        elif found and labels.setdefault(found[0], label) != label:
            raise SourceError(
                f"Row {number} of '{table.name}' gives an image a second label. "
                "Keep one row an image, or take out the images in doubt."
            )
    return DicomLabels(joined_on, labels, frozenset(given), frozenset(doubtful.difference(labels)))


def _find_files(finder: ImageFinder, name: str, *, beside: Path) -> tuple[str, ...]:
    """Find the files that a name may mean, from the folder of the images, else of the table."""
    for path in (name, posixpath.normpath(beside.absolute() / name.replace("\\", "/"))):
        with contextlib.suppress(UnsafePathError):
            found = finder.find_images(path)
            if found:
                return found
    return ()


def _find_join(table: Table, roles: Mapping[str, int]) -> tuple[str, int | None]:
    normalised = [re.sub(r"[^0-9a-z]+", "", heading.casefold()) for heading in table.columns]
    for kind in _ORDER:
        if kind == _FILE and "path" in roles:
            return kind, roles["path"]
        for number, heading in enumerate(normalised):
            if heading in _HEADINGS.get(kind, ()):
                return kind, number
    return "", None


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
