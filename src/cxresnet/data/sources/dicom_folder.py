"""A folder of DICOM images, nested as archives export them, in files with or without ending.

Images and patients get pseudonyms here, because file and folder names may name a person, like tags.
Ids and locations are keyed hashes of paths; `DicomFolderSource.find_file` finds the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ClassMapError, ImageError, SourceError
from cxresnet.core.progress import track
from cxresnet.data.decode.dicom import DicomHeader, read_dicom_header
from cxresnet.data.decode.dicom.identity import load_key, pseudonymise
from cxresnet.data.decode.formats import sniff_format
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.source import (
    AbstractStoredSource,
    Listing,
    Rejection,
    ScanResult,
    read_split,
)
from cxresnet.data.sources.table_file import Table, find_columns, read_table

# A table beside DICOM images with the class of each image.


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

    def find(self, header: DicomHeader, path: str) -> str:
        """Find an image's label; "" if the table has none.

        Args:
            header: Of the image.
            path: Of its file, relative to the source.
        """
        if self.joined_on != _FILE:
            return self.labels.get(header.identifiers.get(self.joined_on, ""), "")
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


_HEAD_BYTES = 132
_INDEX_NAME = "DICOMDIR"
_DICOM_SUFFIXES = {".dcm", ".dicom", ".dic", ".ima"}


class DicomFolderSource(AbstractStoredSource):
    """A folder of DICOM images; each file is an image of its own, several may be one patient's.

    The class comes from the deepest folder that a class claims, or from a table of labels. The
    manufacturer and model are the source. Without a patient id the study stands for the patient.
    """

    def __init__(
        self,
        root: Path,
        *,
        class_map: ClassMap,
        labels: Path | None = None,
        key: bytes | None = None,
        require_two_classes: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            root: The folder.
            class_map: Which folder or label means which class.
            labels: A table that says which image shows what; see `dicom_labels.py`.
            key: For the pseudonyms; by default the user's own, as of `load_key`.
            require_two_classes: False where other sources are joined: a single class is then no
                error.
        """
        super().__init__(FolderStore(root), class_map, require_two_classes=require_two_classes)
        self._root = root
        self._labels = labels
        self._key = key
        self._paths: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def list_records(self) -> ScanResult:
        """Read the header of every DICOM file; see `AbstractStoredSource.scan`.

        Raises:
            ClassMapError: Images lie in folders, or have labels, that no class claims.
            SourceError: The table of labels cannot be used, or names none of the images.
        """
        listing = self.store.list_members()
        collector = _RecordCollector(
            name=self.name,
            class_map=self.class_map,
            labels=read_dicom_labels(self._labels) if self._labels else None,
            key=self._find_key(),
        )
        collector.take_listing(listing)
        for path in track(listing.members, "Reading DICOM headers"):
            self._sort(path, collector)
        return collector.finish()

    def read(self, location: str) -> bytes:
        """Read one image; see `AbstractSource`. The error names no file.

        Raises:
            ImageError: The file is gone or cannot be read.
        """
        try:
            return super().read(self.find_file(location))
        except ImageError as error:
            raise ImageError(error.code, "The DICOM file is missing or cannot be read.") from None

    def find_file(self, image_id: str) -> str:
        """Find the file behind a pseudonym, for those who hold the folder and the key.

        Args:
            image_id: Of a record or a rejection; a record's location is the same.

        Returns:
            The path, relative to the folder.

        Raises:
            ImageError: No file here has this pseudonym.
        """
        if not self._paths:
            key = self._find_key()
            members = self.store.list_members().members
            self._paths = {_name_image(path, key=key): path for path in members}
        if image_id not in self._paths:
            raise ImageError("missing", "No DICOM file of this folder has this pseudonym.")
        return self._paths[image_id]

    def _find_key(self) -> bytes:
        return self._key or load_key()

    def _sort(self, path: str, collector: _RecordCollector) -> None:
        if path.rpartition("/")[2].upper() == _INDEX_NAME:
            return
        try:
            with (self._root / path).open("rb") as stream:
                kind = sniff_format(stream.read(_HEAD_BYTES))
                stream.seek(0)
                header = read_dicom_header(stream) if kind == "DICOM" else None
        except ImageError as error:
            if error.code in {"format-not-allowed", "not-an-image"} and not _claims_dicom(path):
                collector.pass_over()
            else:
                collector.reject(path, error.code, str(error))
        except OSError:
            collector.reject(path, "unreadable", "The DICOM file cannot be read.")
        else:
            if header is None:
                collector.pass_over()
            else:
                collector.take(path, header)


@dataclass
class _RecordCollector:
    """Collects records, rejections and counts while the files are gone through."""

    name: str
    class_map: ClassMap
    labels: DicomLabels | None
    key: bytes = field(repr=False)
    records: list[ImageRecord] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unknown_labels: set[str] = field(default_factory=set)

    def take_listing(self, listing: Listing) -> None:
        """Reject what the store would not read; its own words name files."""
        for found in listing.rejections:
            reason = "A link that leads out or nowhere, or a device; it is not read."
            self.reject(found.image_id, found.code, reason)

    def pass_over(self) -> None:
        """Count a file that is not DICOM."""
        self.counts["passed over"] += 1

    def reject(self, path: str, code: str, reason: str) -> None:
        """Leave an image out."""
        image_id = _name_image(path, key=self.key)
        self.rejections.append(
            Rejection(image_id=image_id, class_name="", code=code, reason=reason)
        )

    def take(self, path: str, header: DicomHeader) -> None:
        """Keep an image, if its class is known."""
        class_name = self._find_class(path, header)
        if not class_name:
            return
        image_id = _name_image(path, key=self.key)
        folders = path.split("/")[:-1]
        self.records.append(
            ImageRecord(
                image_id=image_id,
                location=image_id,
                class_name=class_name,
                source=header.device or self.name,
                patient_id=self._find_patient(header),
                given_split=next(filter(None, map(read_split, folders)), ""),
                view=header.view,
                age_years=header.age_years,
                sex=header.sex,
            )
        )

    def finish(self) -> ScanResult:
        """Check that every image found its class, and hand over.

        Raises:
            ClassMapError: Some folder or label is claimed by no class.
            SourceError: The table of labels names none of the images.
        """
        if self.unknown_labels:
            raise ClassMapError(self.class_map.explain_unknown(self.unknown_labels))
        if self.counts["no class folder"]:
            raise ClassMapError(
                f"{self.counts['no class folder']:,} DICOM images of '{self.name}' are in no "
                "folder of a class. Name the folder of each class, for example "
                f"--classes {self.class_map.class_names[0]}=FOLDER, or give a table of labels."
            )
        if self.labels and self.counts["no label"] and not self.records:
            raise SourceError(
                f"The table of labels has none of the {self.counts['no label']:,} DICOM images in "
                f"its column of {self.labels.joined_on}. Check that column."
            )
        return ScanResult(tuple(self.records), tuple(self.rejections), tuple(self._make_warnings()))

    def _find_class(self, path: str, header: DicomHeader) -> str:
        if self.labels is None:
            return self._find_class_folder(path.split("/")[:-1])
        label = self.labels.find(header, path)
        if not label:
            self.counts["no label"] += 1
            self.reject(path, "no-label", "The table of labels has no row for this image.")
            return ""
        found = self.class_map.find(label)
        if found is None:
            self.unknown_labels.add(label)
        elif not found:
            self.counts["left out"] += 1
        return found or ""

    def _find_class_folder(self, folders: list[str]) -> str:
        claims = [claim for claim in map(self.class_map.find, folders) if claim is not None]
        if "" in claims:
            self.counts["left out"] += 1
            return ""
        if not claims:
            self.counts["no class folder"] += 1
        return claims[-1] if claims else ""

    def _find_patient(self, header: DicomHeader) -> str:
        for tag in ("PatientID", "StudyInstanceUID"):
            if tag in header.identifiers:
                return pseudonymise(f"{tag}:{header.identifiers[tag]}", key=self.key)
        return ""

    def _make_warnings(self) -> Iterable[str]:
        yield (
            "DICOM images and patients get pseudonyms; the key that reverses them stays on this "
            "machine."
        )
        if self.counts["passed over"]:
            yield f"{self.counts['passed over']:,} files that are not DICOM were skipped."
        if self.counts["left out"]:
            yield f"{self.counts['left out']:,} DICOM images were left out by --classes."


def holds_dicom(root: Path) -> bool:
    """Tell a folder of DICOM images by the first file that is a picture.

    Args:
        root: A folder.
    """
    for path in FolderStore(root).list_members().members:
        try:
            with (root / path).open("rb") as stream:
                return sniff_format(stream.read(_HEAD_BYTES)) == "DICOM"
        except (ImageError, OSError):
            continue
    return False


def _name_image(path: str, *, key: bytes) -> str:
    return pseudonymise(f"image:{path}", key=key)


def _claims_dicom(path: str) -> bool:
    return Path(path).suffix.lower() in _DICOM_SUFFIXES
