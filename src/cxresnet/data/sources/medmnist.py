"""MedMNIST: films and labels as arrays in one .npz, with the split as published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ClassMapError, FilmError, SourceError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.npz_file import ArrayHeader, read_array, read_headers
from cxresnet.data.sources.safe_path import make_printable
from cxresnet.data.sources.source import AbstractSource, ScanResult
from cxresnet.data.sources.stored import check_classes

__all__ = ["MedMnistSource"]

_SPLITS = ("train", "val", "test")
_KNOWN_LABELS: Mapping[str, Mapping[int, str]] = {
    "pneumoniamnist": {0: "normal", 1: "pneumonia"},
}


class MedMnistSource(AbstractSource):
    """Films of a MedMNIST file; a location is "train/17". Whose film it is, nobody says."""

    def __init__(
        self, path: Path, class_map: ClassMap | None = None, *, alone: bool = True
    ) -> None:
        """Keep the place; the file is opened in `scan` and `read`.

        Args:
            path: The .npz.
            class_map: Which number means which class, where the file is not one we know.
            alone: False where other sources are joined: a single class is then no error.
        """
        self.path = path
        self.alone = alone
        self._class_map = class_map or build_class_map()

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return make_printable(self.path.stem)

    @property
    def class_map(self) -> ClassMap:
        """Which number means which class."""
        return self._class_map

    def scan(self) -> ScanResult:
        """List the films of all splits; see `AbstractSource.scan`.

        Raises:
            SourceError: It is no MedMNIST file, or damaged, or it lies about its size.
            ClassMapError: A number that no class claims.
        """
        headers = self._read_headers()
        splits = [split for split in _SPLITS if f"{split}_images" in headers]
        if not splits:
            raise SourceError(
                f"'{self.path.name}' has no train_images, val_images or test_images; "
                "is it a MedMNIST file?"
            )
        records = tuple(
            record for split in sorted(splits) for record in self._list_split(split, headers)
        )
        if self.alone:
            check_classes(records, self.class_map, name=self.name)
        notice = "MedMNIST says nothing of patients: only duplicates can be kept together."
        return ScanResult(tuple(sorted(records, key=lambda r: r.image_id)), notices=(notice,))

    def read(self, location: str) -> NDArray[np.uint8]:
        """Read one film.

        Args:
            location: Of a record of `scan`.

        Returns:
            Grey levels 0 to 255, (height, width).

        Raises:
            FilmError: There is no such film.
        """
        split, _, number = location.partition("/")
        if split not in _SPLITS or not number.isdecimal():
            raise FilmError("missing", f"There is no film '{location}' in '{self.path.name}'.")
        films = _load_films(self.path, self.path.stat().st_mtime_ns, split)
        if int(number) >= len(films):
            raise FilmError("missing", f"There is no film '{location}' in '{self.path.name}'.")
        film: NDArray[np.uint8] = films[int(number)]
        return film

    def _read_headers(self) -> Mapping[str, ArrayHeader]:
        if not self.path.is_file():
            raise SourceError(f"There is no file '{self.path}'. Check the path.")
        return read_headers(self.path)

    def _list_split(self, split: str, headers: Mapping[str, ArrayHeader]) -> Iterator[ImageRecord]:
        images = headers[f"{split}_images"]
        labels = headers.get(f"{split}_labels", ArrayHeader((), np.dtype(np.uint8)))
        if len(images.shape) != 3 or images.dtype != np.uint8:
            raise SourceError(
                f"{split}_images of '{self.path.name}' has shape {images.shape}; films are grey, "
                "(number, height, width), 8 bits."
            )
        if labels.shape not in {(images.shape[0],), (images.shape[0], 1)}:
            raise SourceError(
                f"{split}_labels of '{self.path.name}' has shape {labels.shape}; one label a film "
                f"is needed, ({images.shape[0]}, 1)."
            )
        numbers = read_array(self.path, f"{split}_labels").ravel().tolist()
        classes = {number: self._find_class(number) for number in set(numbers)}
        for index, number in enumerate(numbers):
            if classes[number]:
                yield ImageRecord(
                    image_id=f"{split}/{index:06}",
                    location=f"{split}/{index}",
                    class_name=classes[number],
                    source=self.name,
                    given_split=split,
                )

    def _find_class(self, number: int) -> str:
        """Find the class of a number: what the user says comes before what we know of the file."""
        found = self.class_map.find(str(number))
        if found is not None:
            return found
        for start, labels in _KNOWN_LABELS.items():
            if self.path.stem.startswith(start) and number in labels:
                return labels[number]
        raise ClassMapError(
            f"No class claims the label {number} of '{self.path.name}'. Say what the numbers mean, "
            f"for example --classes normal=0,pneumonia={number or 1}."
        )


@lru_cache(maxsize=3)
def _load_films(path: Path, written_ns: int, split: str) -> NDArray[np.uint8]:
    """Load the films of one split, once a process; a file written anew is another."""
    del written_ns
    read_headers(path)
    return read_array(path, f"{split}_images").astype(np.uint8, copy=False)
