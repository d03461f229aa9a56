"""A table beside DICOM films that says which film shows what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxresnet.core.errors import SourceError
from cxresnet.data.dicom import DicomHeader
from cxresnet.data.sources.columns import find_columns
from cxresnet.data.sources.table_file import Table, read_table

__all__ = ["DicomLabels", "read_dicom_labels"]

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
    """From what names a film in the table to its label.

    Attributes:
        joined_on: The tag, or "file", that the table names films by.
        labels: Identifying: from the table's names to labels, as written.
    """

    joined_on: str
    labels: Mapping[str, str] = field(repr=False)

    def find(self, header: DicomHeader, path: str) -> str:
        """Find a film's label; "" where the table says nothing.

        Args:
            header: Of the film.
            path: Of its file, relative to the source.
        """
        if self.joined_on != _FILE:
            return self.labels.get(header.identifiers.get(self.joined_on, ""), "")
        file = PurePosixPath(path)
        names = (path, str(file.with_suffix("")), file.name, file.stem)
        return next((self.labels[name] for name in names if self.labels.get(name)), "")


def read_dicom_labels(path: Path) -> DicomLabels:
    """Read a table with a column of labels and one that names films.

    Films are named by SOPInstanceUID, file, AccessionNumber, StudyInstanceUID or PatientID; of
    several such columns the first in this order counts.

    Args:
        path: CSV, TSV, Parquet or xlsx.

    Raises:
        SourceError: It cannot be read, lacks such a column, or gives one film two labels.
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
            f"films: {', '.join(_ORDER)}. It has: {', '.join(filter(None, table.columns))}."
        )
    return DicomLabels(joined_on, _index_labels(table, column, roles["class"]))


def _find_join(table: Table, roles: Mapping[str, int]) -> tuple[str, int | None]:
    folded = [re.sub(r"[^0-9a-z]+", "", heading.casefold()) for heading in table.columns]
    for kind in _ORDER:
        if kind == _FILE and "path" in roles:
            return kind, roles["path"]
        for number, heading in enumerate(folded):
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
                f"Row {number} of '{table.name}' gives a film a second label. "
                "Keep one row a film, or take out the films in doubt."
            )
    return labels
