"""Several sources as one dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ImageError
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.dicom_identity import pseudonymise_patients
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult, check_classes


class JoinedSource(AbstractSource):
    """Sources side by side; each image's id and location begin with the name of its source.

    Patient ids stay as they are: where two sources have the same one, its images stay together,
    which can only make the split stricter.
    """

    def __init__(
        self, parts: Sequence[AbstractSource], *, require_two_classes: bool = True
    ) -> None:
        """Keep the sources; nothing is opened yet.

        Args:
            parts: Made with `alone=False`, so that each may have a single class.
            require_two_classes: False where all of them together may have a single class.
        """
        self.require_two_classes = require_two_classes
        self.parts = tuple(parts)
        self.any_body_part = any(part.any_body_part for part in parts)

    @property
    def name(self) -> str:
        """Names of the sources with "+" between."""
        return "+".join(part.name for part in self.parts)

    @property
    def class_map(self) -> ClassMap:
        """All classes and labels; where two sources differ, the first decides."""
        names = dict.fromkeys(name for part in self.parts for name in part.class_map.class_names)
        meanings: dict[str, str] = {}
        for part in reversed(self.parts):
            meanings.update(part.class_map.meanings)
        named = frozenset(name for part in self.parts for name in part.class_map.named)
        return ClassMap(class_names=tuple(names), meanings=meanings, named=named)

    @cached_property
    def _by_prefix(self) -> dict[str, AbstractSource]:
        """Each source under a name of its own: "images", "images-2"."""
        found: dict[str, AbstractSource] = {}
        for part in self.parts:
            count = sum(part.name == other.name for other in found.values())
            prefix = part.name.replace("/", "_") + (f"-{count + 1}" if count else "")
            while prefix in found:
                prefix += "-again"
            found[prefix] = part
        return found

    def scan(self) -> ScanResult:
        """List the images of all sources; see `AbstractSource.scan`.

        Raises:
            EmptySourceError: One of them has no image.
            ClassMapError: A label that no class claims; or all images are of one class.
        """
        records: list[ImageRecord] = []
        rejections: list[Rejection] = []
        warnings: list[str] = []
        scans = {prefix: part.scan() for prefix, part in self._by_prefix.items()}
        classes = {name for found in scans.values() for name in found.classes}
        has_pseudonyms = any(found.has_pseudonyms for found in scans.values())
        for prefix, found in scans.items():
            images: Iterable[ImageRecord] = found.records
            if has_pseudonyms and not found.has_pseudonyms:
                images = pseudonymise_patients(images)
            records += (_prefix_record(record, prefix) for record in images)
            rejections += (
                replace(row, image_id=f"{prefix}/{row.image_id}") for row in found.rejections
            )
            warnings += (f"{prefix}: {warning}" for warning in found.warnings)
        records.sort(key=lambda record: record.image_id)
        if self.require_two_classes:
            claimed = tuple(sorted(classes))
            check_classes(tuple(records), self.class_map, name=self.name, claimed=claimed)
        return ScanResult(
            tuple(records),
            tuple(rejections),
            (*warnings, *_find_shared_patients(records)),
            classes=tuple(sorted(classes)),
            has_pseudonyms=has_pseudonyms,
        )

    def read(self, location: str) -> bytes | NDArray[np.uint8]:
        """Read one image or mask from the source it belongs to; see `AbstractSource.read`.

        Raises:
            ImageError: There is no such source or image.
        """
        prefix, _, inner = location.partition("/")
        part = self._by_prefix.get(prefix)
        if part is None:
            raise ImageError("missing", f"There is no source '{prefix}'.")
        return part.read(inner)


def _prefix_record(record: ImageRecord, prefix: str) -> ImageRecord:
    return replace(
        record,
        image_id=f"{prefix}/{record.image_id}",
        location=f"{prefix}/{record.location}",
        lung_mask=record.lung_mask and f"{prefix}/{record.lung_mask}",
        lesion_mask=record.lesion_mask and f"{prefix}/{record.lesion_mask}",
    )


def _find_shared_patients(records: Iterable[ImageRecord]) -> Iterator[str]:
    pairs = {(record.image_id.partition("/")[0], record.patient_id) for record in records}
    counts = Counter(patient for _, patient in pairs if patient)
    shared = [patient for patient, count in counts.items() if count > 1]
    if shared:
        yield (
            f"{len(shared)} patient ids are in more than one source, for example '{shared[0]}'; "
            "they count as the same patients and stay in one split."
        )
