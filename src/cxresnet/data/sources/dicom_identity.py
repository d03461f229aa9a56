"""DICOM images in any source: whose they are, and pseudonyms for whatever names a person.

A folder, an archive, a table and a dataset preset list their files in their own way. This is the
one place where the headers of those that are DICOM are read, so that the same images have the same
patients in each of them. File and folder names may name a person, like tags: where a source holds
DICOM, its ids and locations are keyed hashes of paths; `DicomIdentitySource.find_file` finds the
file.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ClassMapError, EmptySourceError, ImageError, SourceError
from cxresnet.core.labels import is_placeholder
from cxresnet.core.printable import make_printable
from cxresnet.core.progress import track
from cxresnet.data.decode.dicom import DicomHeader, read_dicom_header
from cxresnet.data.decode.dicom.identity import load_key, pseudonymise
from cxresnet.data.decode.formats import sniff_format
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.dicom_labels import DicomLabels, read_dicom_labels
from cxresnet.data.sources.label_rule import explain_unclaimed, is_no_label
from cxresnet.data.sources.source import (
    AbstractSource,
    AbstractStore,
    AbstractStoredSource,
    Rejection,
    ScanResult,
    explain_empty,
    forget_patients,
)
from cxresnet.data.sources.table import ImageFinder, TableSource

_PATIENT_TAGS = ("PatientID", "StudyInstanceUID")
"""Who an image belongs to: without a patient id the study stands for the patient."""

_INDEX_NAME = "DICOMDIR"
_ROW = re.compile(r"row \d+")


class DicomIdentitySource(AbstractSource):
    """A source whose DICOM images get patient, view, age, sex and device from their headers.

    What a table or a manifest says of an image comes first. The manufacturer and model are the
    source where nothing else is said. A source without DICOM is left as it is.

    Attributes:
        inner: The source that lists the files.
        any_body_part: Take radiographs of any part of the body.
        no_patients: Ids or pseudonyms that the user says stand for nobody.
    """

    def __init__(
        self,
        inner: AbstractStoredSource,
        *,
        labels: Path | None = None,
        any_body_part: bool = False,
        no_patients: Collection[str] = (),
        key: bytes | None = None,
    ) -> None:
        """Keep what to read; nothing is opened yet.

        Args:
            inner: Lists the files and finds their classes.
            labels: A table that says which image shows what; then the class of `inner` is not
                asked.
            any_body_part: See `read_dicom_image`.
            no_patients: Ids or pseudonyms that stand for nobody.
            key: For the pseudonyms; by default the user's own, as of `load_key`.
        """
        self.inner = inner
        self.any_body_part = any_body_part
        self.no_patients = no_patients
        self._masks: frozenset[str] = frozenset()
        self._labels = labels
        self._key = key
        self._known_to_be_private: bool | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def name(self) -> str:
        """Name of the folder, table or archive."""
        return self.inner.name

    @property
    def class_map(self) -> ClassMap:
        """Which labels mean which class."""
        return self.inner.class_map

    def scan(self) -> ScanResult:
        """List the images; see `AbstractSource.scan`.

        Raises:
            EmptySourceError: There is no image.
            ClassMapError: Images lie in folders, or have labels, that no class claims.
            SourceError: The table of labels cannot be used, or names none of the images.
        """
        dicom = _find_dicom(self.inner.store)
        self._known_to_be_private = bool(dicom) or self._labels is not None
        if not self._known_to_be_private:
            found = self.inner.scan()
            return replace(found, records=forget_patients(found.records, self.no_patients))
        found = self._scan_inner(dicom)
        masks = ((record.lung_mask, record.lesion_mask) for record in found.records)
        self._masks = frozenset(filter(None, itertools.chain.from_iterable(masks)))
        collector = _Collector(
            source=self,
            dicom=dicom,
            labels=self._read_labels(dicom),
            name_file=self._name_file,
        )
        for rejection in found.rejections:
            collector.reject(rejection)
        for record in track(found.records, "Reading DICOM headers"):
            collector.take(record, key=self._real_key)
        return collector.finish(found)

    def read(self, location: str) -> bytes:
        """Read one image; see `AbstractSource`. The error names no file.

        Raises:
            ImageError: The file is gone or cannot be read.
        """
        if not self._is_private:
            return self.inner.read(location)
        try:
            return self.inner.read(self.find_file(location))
        except ImageError as error:
            raise ImageError(error.code, "The file is missing or cannot be read.") from None

    def find_file(self, image_id: str) -> str:
        """Find the file behind a pseudonym, for those who hold the images and the key.

        Args:
            image_id: Of a record or a rejection; a record's location is the same.

        Returns:
            The path, relative to the source.

        Raises:
            ImageError: No file here has this pseudonym.
        """
        if image_id not in self._paths:
            raise ImageError("missing", "No file here has this pseudonym.")
        return self._paths[image_id]

    @property
    def _is_private(self) -> bool:
        """Whether ids and locations are pseudonyms; a scan has found out."""
        if self._known_to_be_private is None:
            dicom = _find_dicom(self.inner.store)
            self._known_to_be_private = bool(dicom) or self._labels is not None
        return self._known_to_be_private

    @cached_property
    def _real_key(self) -> bytes:
        return self._key or load_key()

    @cached_property
    def _paths(self) -> dict[str, str]:
        listing = self.inner.store.list_members()
        refused = (rejection.image_id for rejection in listing.rejections)
        paths = itertools.chain(refused, self._masks, listing.members)
        return {self._name_file(path): path for path in paths}

    def _name_file(self, path: str) -> str:
        return pseudonymise(f"image:{path}", key=self._real_key)

    def _read_labels(self, dicom: frozenset[str]) -> DicomLabels | None:
        if self._labels is None:
            return None
        store, class_map = self.inner.store, self.inner.class_map
        finder = ImageFinder(store, class_map, base="", known_images=dicom)
        return read_dicom_labels(self._labels, finder)

    def _scan_inner(self, dicom: frozenset[str]) -> ScanResult:
        """List the files; a folder that no class claims may have the name of a person.

        Raises:
            ClassMapError: Of the inner source, without the names of such folders.
        """
        self.inner.known_images = dicom
        try:
            return self.inner.scan()
        except ClassMapError as error:
            if isinstance(self.inner, TableSource):
                raise
            folders = [path.split("/")[:-1] for path in dicom]
            unclaimed = [parts for parts in folders if not any(map(self.class_map.find, parts))]
            said = str(error)
            if not any(make_printable(part) in said for parts in unclaimed for part in parts):
                raise
        raise ClassMapError(
            f"{len(unclaimed):,} DICOM images of '{self.name}' are in no folder of a class. Name "
            f"the folder of each class, for example --classes {self.class_map.class_names[0]}="
            "FOLDER, or give a table of labels with --labels. Folders are not named here, because "
            "they may bear the names of patients."
        )


@dataclass
class _Collector:
    """Collects records and rejections under their pseudonyms."""

    source: DicomIdentitySource
    dicom: frozenset[str]
    labels: DicomLabels | None
    name_file: Callable[[str], str] = field(repr=False)
    records: list[ImageRecord] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unknown_labels: set[str] = field(default_factory=set)
    owners: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def reject(self, rejection: Rejection) -> None:
        """Take over what the inner source left out, without the names of files."""
        path = rejection.image_id
        if _ROW.fullmatch(path):
            self.rejections.append(rejection)
            return
        alike = self._by_name[path.rpartition("/")[2]]
        only = next(iter(alike.values())) if len(alike) == 1 else path
        name = self.name_file(alike.get(path, only))
        reason = _hide_names(rejection, (path, *alike), name=name)
        self.rejections.append(replace(rejection, image_id=name, reason=reason))

    @cached_property
    def _by_name(self) -> defaultdict[str, dict[str, str]]:
        """The members of each file name: from a path as it is shown to that in the store."""
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for member in self.source.inner.store.list_members().members:
            shown = make_printable(member)
            found[shown.rpartition("/")[2]][shown] = member
        return found

    def leave_out(self, record: ImageRecord, code: str, reason: str) -> None:
        """Leave an image out."""
        self.rejections.append(
            Rejection(
                image_id=self.name_file(record.location),
                class_name=record.class_name,
                code=code,
                reason=reason,
            )
        )

    def take(self, record: ImageRecord, *, key: bytes) -> None:
        """Keep an image, if its header is that of a chest radiograph and its class is known."""
        header = None
        if record.location in self.dicom:
            try:
                with self.source.inner.store.open_member(record.location) as stream:
                    header = read_dicom_header(stream, any_body_part=self.source.any_body_part)
            except ImageError as error:
                self.leave_out(record, error.code, str(error))
                return
            except OSError:
                self.leave_out(record, "unreadable", "The DICOM file cannot be read.")
                return
        if self.labels is not None:
            record = replace(record, class_name=self._find_class(self.labels, record, header))
            if not record.class_name:
                return
        self.records.append(self._complete(record, header, key=key))

    def _complete(
        self, record: ImageRecord, header: DicomHeader | None, *, key: bytes
    ) -> ImageRecord:
        """Give an image its pseudonyms, and what its header says and nobody else has said."""
        name = self.name_file(record.location)
        patient = self._find_patient({"PatientID": record.patient_id}, key=key)
        record = replace(
            record,
            image_id=name,
            location=name,
            lung_mask=record.lung_mask and self.name_file(record.lung_mask),
            lesion_mask=record.lesion_mask and self.name_file(record.lesion_mask),
        )
        if header is not None:
            owner = self._find_patient(header.identifiers, key=key)
            patient = patient or owner
            self.owners[owner].add(patient)
            is_nameless = record.source == self.source.name
            record = replace(
                record,
                source=header.device if is_nameless and header.device else record.source,
                view=record.view or header.view,
                age_years=record.age_years or header.age_years,
                sex=record.sex or header.sex,
            )
        return replace(record, patient_id=patient)

    def _find_patient(self, identifiers: Mapping[str, str], *, key: bytes) -> str:
        """Find the pseudonym of the first tag that tells whose an image is; "" if none does."""
        for tag in _PATIENT_TAGS:
            value = identifiers.get(tag, "")
            patient = pseudonymise(f"{tag}:{value}", key=key)
            if patient not in self.source.no_patients and not is_placeholder(
                value, self.source.no_patients
            ):
                return patient
        return ""

    def _find_class(
        self, labels: DicomLabels, record: ImageRecord, header: DicomHeader | None
    ) -> str:
        """Find the class in the table of labels; "" where the image is left out."""
        label = labels.find(header, record.location)
        found = self.source.class_map.find(label) if label else None
        if record.location in labels.doubtful:
            reason = "Several files have its name in the table of labels. Write path and ending."
            self.leave_out(record, "ambiguous-name", reason)
        elif not label or (found is None and is_no_label(label)):
            self.counts["no label"] += header is not None
            self.leave_out(record, "no-label", "The table of labels has no label for this image.")
        elif found is None:
            self.unknown_labels.add(label)
        elif not found:
            self.leave_out(record, "ignored", f"Images labelled '{label}' are left out.")
        return found or ""

    def finish(self, found: ScanResult) -> ScanResult:
        """Check that every image found its class, and hand over.

        Raises:
            ClassMapError: Some label is claimed by no class.
            SourceError: The table of labels names none of the images.
            EmptySourceError: No image is left.
        """
        if self.unknown_labels:
            labels = self.labels.labels.values() if self.labels else ()
            raise ClassMapError(
                explain_unclaimed(self.source.class_map, self.unknown_labels, labels)
            )
        if self.labels and self.counts["no label"] and not self.records:
            raise SourceError(
                f"The table of labels has none of the {self.counts['no label']:,} DICOM images in "
                f"its column of {self.labels.joined_on}. Check that column."
            )
        if not self.records:
            raise EmptySourceError(explain_empty(self.source.name, tuple(self.rejections)))
        return replace(
            found,
            records=tuple(sorted(self.records, key=lambda record: record.image_id)),
            rejections=tuple(self.rejections),
            warnings=(*self._hide_names(found), *self._make_warnings()),
            classes=self._list_classes() if self.labels else found.classes,
            has_pseudonyms=True,
        )

    def _list_classes(self) -> tuple[str, ...]:
        """List the classes that the table of labels claims."""
        labels = self.labels.given if self.labels else ()
        return tuple(sorted(set(filter(None, map(self.source.class_map.find, labels)))))

    def _hide_names(self, found: ScanResult) -> Iterator[str]:
        """Give the warnings of the inner source without the names of files."""
        names = {f"'{one.image_id}'": self.name_file(one.location) for one in found.records}
        for warning in found.warnings:
            spoken = next((name for name in names if name in warning), "")
            yield warning.replace(spoken, f"'{names[spoken]}'") if spoken else warning

    def _make_warnings(self) -> Iterator[str]:
        yield (
            "DICOM images and patients get pseudonyms; the key that reverses them stays on this "
            "machine."
        )
        split = sum(len(given) > 1 for owner, given in self.owners.items() if owner)
        if split:
            yield (
                f"The patient column divides the images of {split:,} patients of the DICOM headers "
                "among several patients, who may then be in several splits. To use the headers "
                "instead, leave the column out: --columns patient=."
            )


def pseudonymise_patients(records: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Give patients the pseudonyms that they have in DICOM headers, to be told as the same."""
    key = load_key()
    for record in records:
        patient = record.patient_id
        yield replace(record, patient_id=patient and pseudonymise(f"PatientID:{patient}", key=key))


def _hide_names(rejection: Rejection, paths: Iterable[str], *, name: str) -> str:
    """Give the reason of a rejection without the paths of files, nor their last parts."""
    if rejection.code == "ambiguous-name":
        row = rejection.reason.partition(":")[0]
        return f"{row}: Several files have this name. Write the path in the table."
    ends = {path.split("/", count)[-1] for path in paths for count in range(path.count("/") + 1)}
    longest = "|".join(map(re.escape, sorted(ends, key=len, reverse=True)))
    return re.sub(rf"'(?:[^']*/)?(?:{longest})'", f"'{name}'", rejection.reason)


def _find_dicom(store: AbstractStore) -> frozenset[str]:
    """Find the DICOM files of a store by their first bytes; the index of a disc is no image."""
    return frozenset(
        path
        for path in store.list_members().members
        if path.rpartition("/")[2].upper() != _INDEX_NAME and _is_dicom(store, path)
    )


def _is_dicom(store: AbstractStore, path: str) -> bool:
    try:
        return sniff_format(store.read_head(path)) == "DICOM"
    except (ImageError, OSError):
        return False
