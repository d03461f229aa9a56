"""Several sources as one dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import FilmError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult
from cxresnet.data.sources.stored import check_classes

__all__ = ["JoinedSource"]


class JoinedSource(AbstractSource):
    """Sources side by side; each film's id and location begin with the name of its source.

    Patient ids stay as they are: where two sources have the same one, its films stay together,
    which can only make the split stricter.
    """

    def __init__(self, parts: Sequence[AbstractSource], *, alone: bool = True) -> None:
        """Keep the sources; nothing is opened.

        Args:
            parts: Made with `alone=False`, so that each may have a single class.
            alone: False where all of them together may have a single class.
        """
        self.alone = alone
        self.parts = tuple(parts)

    @property
    def name(self) -> str:
        """Names of the sources with "+" between."""
        return "+".join(part.name for part in self.parts)

    @property
    def class_map(self) -> ClassMap:
        """All classes and labels; where two sources mean different things, the first is asked."""
        names = dict.fromkeys(name for part in self.parts for name in part.class_map.class_names)
        meanings: dict[str, str] = {}
        for part in reversed(self.parts):
            meanings.update(part.class_map.meanings)
        return ClassMap(class_names=tuple(names), meanings=meanings)

    @cached_property
    def _by_prefix(self) -> dict[str, AbstractSource]:
        """Each source under a name of its own: "films", "films-2"."""
        found: dict[str, AbstractSource] = {}
        for part in self.parts:
            count = sum(part.name == other.name for other in found.values())
            prefix = part.name.replace("/", "_") + (f"-{count + 1}" if count else "")
            while prefix in found:
                prefix += "-again"
            found[prefix] = part
        return found

    def scan(self) -> ScanResult:
        """List the films of all sources; see `AbstractSource.scan`.

        Raises:
            EmptySourceError: One of them has no film.
            ClassMapError: A label that no class claims; or all films are of one class.
        """
        records: list[ImageRecord] = []
        rejections: list[Rejection] = []
        notices: list[str] = []
        for prefix, part in self._by_prefix.items():
            found = part.scan()
            records += (_prefix_record(record, prefix) for record in found.records)
            rejections += (
                replace(row, image_id=f"{prefix}/{row.image_id}") for row in found.rejections
            )
            notices += (f"{prefix}: {notice}" for notice in found.notices)
        records.sort(key=lambda record: record.image_id)
        if self.alone:
            check_classes(tuple(records), self.class_map, name=self.name)
        return ScanResult(
            tuple(records), tuple(rejections), (*notices, *_find_shared_patients(records))
        )

    def read(self, location: str) -> bytes | NDArray[np.uint8]:
        """Read one film or mask from the source it belongs to; see `AbstractSource.read`.

        Raises:
            FilmError: There is no such source or film.
        """
        prefix, _, inner = location.partition("/")
        part = self._by_prefix.get(prefix)
        if part is None:
            raise FilmError("missing", f"There is no source '{prefix}'.")
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
            f"{len(shared)} patient ids stand in more than one source, for example '{shared[0]}'; "
            "they are taken for the same people and stay in one split."
        )
