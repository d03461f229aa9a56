"""A folder of DICOM films, nested as archives export them, in files with or without ending.

Films and patients go by pseudonyms from here on: names of files and folders, like tags, may name
a person. Ids and locations are keyed hashes of paths; `DicomFolderSource.find_file` leads back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ClassMapError, FilmError, SourceError
from cxresnet.core.progress import track
from cxresnet.data.dicom import DicomHeader, read_dicom_header
from cxresnet.data.image_formats import sniff_format
from cxresnet.data.pseudonym import load_key, pseudonymise
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.dicom_labels import DicomLabels, read_dicom_labels
from cxresnet.data.sources.fields import read_split
from cxresnet.data.sources.source import Rejection, ScanResult
from cxresnet.data.sources.store import FolderStore, Listing
from cxresnet.data.sources.stored import AbstractStoredSource

__all__ = ["DicomFolderSource", "holds_dicom"]

_HEAD_BYTES = 132
_INDEX_NAME = "DICOMDIR"
_DICOM_SUFFIXES = {".dcm", ".dicom", ".dic", ".ima"}


class DicomFolderSource(AbstractStoredSource):
    """A folder of DICOM films; each file is a film of its own, several may be one patient's.

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
        alone: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened.

        Args:
            root: The folder.
            class_map: Which folder or label means which class.
            labels: A table that says which film shows what; see `dicom_labels.py`.
            key: For the pseudonyms; by default the user's own, as of `load_key`.
            alone: False where other sources are joined: a single class is then no error.
        """
        super().__init__(FolderStore(root), class_map, alone=alone)
        self._root = root
        self._labels = labels
        self._key = key
        self._paths: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def arrange(self) -> ScanResult:
        """Read the header of every DICOM file; see `AbstractStoredSource.scan`.

        Raises:
            ClassMapError: Films lie in folders, or have labels, that no class claims.
            SourceError: The table of labels cannot be used, or names none of the films.
        """
        listing = self.store.list_members()
        sorter = _Sorter(
            name=self.name,
            class_map=self.class_map,
            labels=read_dicom_labels(self._labels) if self._labels else None,
            key=self._find_key(),
        )
        sorter.take_listing(listing)
        for path in track(listing.members, "Reading DICOM headers"):
            self._sort(path, sorter)
        return sorter.finish()

    def read(self, location: str) -> bytes:
        """Read one film; see `AbstractSource`. The error names no file.

        Raises:
            FilmError: The file is gone or cannot be read.
        """
        try:
            return super().read(self.find_file(location))
        except FilmError as error:
            raise FilmError(error.code, "The DICOM file is gone or cannot be read.") from None

    def find_file(self, image_id: str) -> str:
        """Find the file behind a pseudonym, for those who hold the folder and the key.

        Args:
            image_id: Of a record or a rejection; a record's location is the same.

        Returns:
            The path, relative to the folder.

        Raises:
            FilmError: No file here has this pseudonym.
        """
        if not self._paths:
            key = self._find_key()
            members = self.store.list_members().members
            self._paths = {_name_film(path, key=key): path for path in members}
        if image_id not in self._paths:
            raise FilmError("missing", "No DICOM file of this folder has this pseudonym.")
        return self._paths[image_id]

    def _find_key(self) -> bytes:
        return self._key or load_key()

    def _sort(self, path: str, sorter: _Sorter) -> None:
        if path.rpartition("/")[2].upper() == _INDEX_NAME:
            return
        try:
            with (self._root / path).open("rb") as stream:
                kind = sniff_format(stream.read(_HEAD_BYTES))
                stream.seek(0)
                header = read_dicom_header(stream) if kind == "DICOM" else None
        except FilmError as error:
            if error.code in {"format-not-allowed", "not-an-image"} and not _claims_dicom(path):
                sorter.pass_over()
            else:
                sorter.reject(path, error.code, str(error))
        except OSError:
            sorter.reject(path, "unreadable", "The DICOM file cannot be read.")
        else:
            if header is None:
                sorter.pass_over()
            else:
                sorter.take(path, header)


@dataclass
class _Sorter:
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
        """Count a file that is no DICOM."""
        self.counts["passed over"] += 1

    def reject(self, path: str, code: str, reason: str) -> None:
        """Leave a film out."""
        image_id = _name_film(path, key=self.key)
        self.rejections.append(
            Rejection(image_id=image_id, class_name="", code=code, reason=reason)
        )

    def take(self, path: str, header: DicomHeader) -> None:
        """Keep a film, if its class is known."""
        class_name = self._find_class(path, header)
        if not class_name:
            return
        image_id = _name_film(path, key=self.key)
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
        """Check that every film found its class, and hand over.

        Raises:
            ClassMapError: Some folder or label is claimed by no class.
            SourceError: The table of labels names none of the films.
        """
        if self.unknown_labels:
            raise ClassMapError(self.class_map.explain_unknown(self.unknown_labels))
        if self.counts["no class folder"]:
            raise ClassMapError(
                f"{self.counts['no class folder']:,} DICOM films of '{self.name}' lie in no folder "
                "that a class claims. Say which folder is which class, for example "
                f"--classes {self.class_map.class_names[0]}=FOLDER, or give a table of labels."
            )
        if self.labels and self.counts["no label"] and not self.records:
            raise SourceError(
                f"The table of labels names none of the {self.counts['no label']:,} DICOM films by "
                f"its column of {self.labels.joined_on}. Check that column."
            )
        return ScanResult(tuple(self.records), tuple(self.rejections), tuple(self._make_notices()))

    def _find_class(self, path: str, header: DicomHeader) -> str:
        if self.labels is None:
            return self._find_class_folder(path.split("/")[:-1])
        label = self.labels.find(header, path)
        if not label:
            self.counts["no label"] += 1
            self.reject(path, "no-label", "The table of labels has no row for this film.")
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

    def _make_notices(self) -> Iterable[str]:
        yield (
            "DICOM films and patients go by pseudonyms; the key that leads back stays on this "
            "machine."
        )
        if self.counts["passed over"]:
            yield f"{self.counts['passed over']:,} files that are no DICOM were passed over."
        if self.counts["left out"]:
            yield f"{self.counts['left out']:,} DICOM films were left out, as the classes say."


def holds_dicom(root: Path) -> bool:
    """Tell a folder of DICOM films by the first file that is a picture.

    Args:
        root: A folder.
    """
    for path in FolderStore(root).list_members().members:
        try:
            with (root / path).open("rb") as stream:
                return sniff_format(stream.read(_HEAD_BYTES)) == "DICOM"
        except (FilmError, OSError):
            continue
    return False


def _name_film(path: str, *, key: bytes) -> str:
    return pseudonymise(f"image:{path}", key=key)


def _claims_dicom(path: str) -> bool:
    return Path(path).suffix.lower() in _DICOM_SUFFIXES
