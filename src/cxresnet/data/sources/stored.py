"""What sources that read files have in common: a store, a class map, and the last checks."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from dataclasses import replace

from cxresnet.core.classes import ClassMap
from cxresnet.core.errors import ClassMapError, EmptySourceError, SourceError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult
from cxresnet.data.sources.store import AbstractStore

__all__ = ["AbstractStoredSource", "check_classes"]


class AbstractStoredSource(AbstractSource):
    """Films in a store; a location is a member of it.

    Attributes:
        store: Where the files are.
        alone: False where other sources are joined to this one: a single class is then no error.
    """

    def __init__(self, store: AbstractStore, class_map: ClassMap, *, alone: bool) -> None:
        self.store = store
        self.alone = alone
        self._class_map = class_map

    @property
    def name(self) -> str:
        """Name of the folder, table or archive."""
        return self.store.name

    @property
    def class_map(self) -> ClassMap:
        """Which labels mean which class."""
        return self._class_map

    def read(self, location: str) -> bytes:
        """Read one film or mask; see `AbstractSource`.

        Raises:
            FilmError: The file is gone or cannot be read.
            UnsafePathError: The location leads out of the store.
        """
        return self.store.read_member(location)

    def scan(self) -> ScanResult:
        """List the films, sorted, each id once.

        Raises:
            EmptySourceError: There is no film.
            ClassMapError: A label that no class claims; or a single class, where nothing is joined.
        """
        found = self.arrange()
        records = tuple(sorted(found.records, key=lambda record: record.image_id))
        _check_ids(records, name=self.name)
        if not records:
            raise EmptySourceError(explain_empty(self.name, found.rejections))
        if self.alone:
            check_classes(records, self.class_map, name=self.name)
        return replace(found, records=records)

    @abstractmethod
    def arrange(self) -> ScanResult:
        """Bring the store's files into records, in any order."""


def check_classes(records: tuple[ImageRecord, ...], class_map: ClassMap, *, name: str) -> None:
    """Refuse films of a single class: there is nothing to tell apart.

    Raises:
        ClassMapError: Fewer than two classes.
    """
    classes = {record.class_name for record in records}
    if len(classes) < 2:
        raise ClassMapError(
            f"'{name}' has films of one class only: {', '.join(sorted(classes))}. "
            "Give a second source with other classes, or say with --classes which folder or label "
            f"is which class ({', '.join(class_map.class_names)}), or prepare it with --outside to "
            "judge a network on it that was trained elsewhere."
        )


def explain_empty(name: str, rejections: tuple[Rejection, ...]) -> str:
    """Say that there is no film, and why those that were there were left out."""
    if not rejections:
        return f"No film was found in '{name}'. Give a folder with one folder of films a class."
    first = rejections[0]
    return (
        f"No film of '{name}' can be used: all {len(rejections)} were left out, the first because: "
        f"{first.reason}"
    )


def _check_ids(records: tuple[ImageRecord, ...], *, name: str) -> None:
    counts = Counter(record.image_id for record in records)
    twice = [image_id for image_id, count in counts.items() if count > 1]
    if twice:
        raise SourceError(
            f"Two films of '{name}' have the same name '{twice[0]}'. Rename one of them."
        )
