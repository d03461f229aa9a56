"""MedMNIST: images and labels as arrays in one .npz, with the split as published."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ClassMapError, ImageError, SourceError
from cxresnet.core.printable import make_printable
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.archive import BOUNDED_METHODS, DAMAGED
from cxresnet.data.sources.source import AbstractSource, ScanResult, check_classes

# Arrays in a NumPy .npz are checked before they are unpacked; nothing pickled is ever loaded.


_MAX_ARRAY_BYTES = 8 * 2**30
_MAX_RATIO = 200
_BOMB_BYTES = 2**22


@dataclass(frozen=True)
class ArrayHeader:
    """What the file states of one array; checked against the bytes that are stored.

    Attributes:
        shape: Length of each axis.
        dtype: Kind of number.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def read_headers(path: Path) -> Mapping[str, ArrayHeader]:
    """Read what arrays there are, without unpacking them.

    Raises:
        SourceError: It is no .npz, holds objects instead of numbers, states a shape that its bytes
            do not have, or would unpack to far too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_duplicates(archive.infolist(), path)
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            return {
                info.filename.removesuffix(".npy"): _read_header(archive, info, path)
                for info in members
            }
    except DAMAGED as error:
        raise _explain(path, error) from error


def _refuse_duplicates(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse two arrays of one name: the one that is checked may not be the one that is read.

    For NumPy, what is called "x" comes before "x.npy".
    """
    counts = Counter(info.filename.removesuffix(".npy") for info in members)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise SourceError(
            f"'{path.name}' holds two arrays of the name '{make_printable(twice[0])}'; it is not "
            "read. Fetch the file again."
        )


def read_array(path: Path, name: str) -> NDArray[np.generic]:
    """Unpack one array whose header `read_headers` has accepted.

    Raises:
        SourceError: It is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray[np.generic] = arrays[name]
            return array
    except (*DAMAGED, KeyError) as error:
        raise _explain(path, error) from error


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> ArrayHeader:
    if info.file_size > _MAX_ARRAY_BYTES or (
        info.file_size > _BOMB_BYTES and info.file_size > _MAX_RATIO * max(info.compress_size, 1)
    ):
        raise SourceError(
            f"'{info.filename}' in '{path.name}' would unpack to {info.file_size:,} bytes; it is "
            "not read. Check where the file comes from."
        )
    if info.compress_type not in BOUNDED_METHODS:
        raise SourceError(
            f"'{info.filename}' in '{path.name}' is packed in a way that NumPy does not write; it "
            "is not read. Fetch the file again."
        )
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        stated = stream.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or dtype.kind not in "uib" or stated != info.file_size:
        raise SourceError(
            f"'{info.filename}' in '{path.name}' states whole numbers of shape {shape} but holds "
            "something else; it is not read. Fetch the file again."
        )
    return ArrayHeader(shape, dtype)


def _explain(path: Path, error: Exception) -> SourceError:
    return SourceError(f"'{path.name}' is not a readable .npz file: {error}. Download it again.")


_SPLITS = ("train", "val", "test")
_KNOWN_LABELS: Mapping[str, Mapping[int, str]] = {
    "pneumoniamnist": {0: "normal", 1: "pneumonia"},
}


class MedMnistSource(AbstractSource):
    """Images of a MedMNIST file; a location is "train/17". Patients are not recorded."""

    def __init__(
        self, path: Path, class_map: ClassMap | None = None, *, require_two_classes: bool = True
    ) -> None:
        """Keep the place; the file is opened in `scan` and `read`.

        Args:
            path: The .npz.
            class_map: Which number means which class, where the file is not one we know.
            require_two_classes: False where other sources are joined: a single class is then no
                error.
        """
        self.path = path
        self.require_two_classes = require_two_classes
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
        """List the images of all splits; see `AbstractSource.scan`.

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
        if self.require_two_classes:
            check_classes(records, self.class_map, name=self.name)
        warning = "MedMNIST does not record patients: only near-duplicates can be kept together."
        return ScanResult(tuple(sorted(records, key=lambda r: r.image_id)), warnings=(warning,))

    def read(self, location: str) -> NDArray[np.uint8]:
        """Read one image.

        Args:
            location: Of a record of `scan`.

        Returns:
            Grey levels 0 to 255, (height, width).

        Raises:
            ImageError: There is no such image.
        """
        split, _, number = location.partition("/")
        if split not in _SPLITS or not number.isdecimal():
            raise ImageError("missing", f"There is no image '{location}' in '{self.path.name}'.")
        images = _load_images(self.path, self.path.stat().st_mtime_ns, split)
        if int(number) >= len(images):
            raise ImageError("missing", f"There is no image '{location}' in '{self.path.name}'.")
        image: NDArray[np.uint8] = images[int(number)]
        return image

    def _read_headers(self) -> Mapping[str, ArrayHeader]:
        if not self.path.is_file():
            raise SourceError(f"There is no file '{self.path}'. Check the path.")
        return read_headers(self.path)

    def _list_split(self, split: str, headers: Mapping[str, ArrayHeader]) -> Iterator[ImageRecord]:
        images = headers[f"{split}_images"]
        labels = headers.get(f"{split}_labels", ArrayHeader((), np.dtype(np.uint8)))
        if len(images.shape) != 3 or images.dtype != np.uint8:
            raise SourceError(
                f"{split}_images of '{self.path.name}' has shape {images.shape}; images are grey, "
                "(number, height, width), 8 bits."
            )
        if labels.shape not in {(images.shape[0],), (images.shape[0], 1)}:
            raise SourceError(
                f"{split}_labels of '{self.path.name}' has shape {labels.shape}; each image needs "
                f"one label, ({images.shape[0]}, 1)."
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
        """Find the class of a number; the user's table comes before the built-in one."""
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
def _load_images(path: Path, written_ns: int, split: str) -> NDArray[np.uint8]:
    """Load the images of one split, once in each process; a changed file is loaded again."""
    del written_ns
    read_headers(path)
    return read_array(path, f"{split}_images").astype(np.uint8, copy=False)
