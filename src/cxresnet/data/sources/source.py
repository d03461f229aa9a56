"""What a source of films is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.classes import ClassMap
from cxresnet.data.record import ImageRecord

__all__ = ["AbstractSource", "Rejection", "ScanResult"]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One film that is left out, and why: a row of `rejected.csv`.

    Attributes:
        image_id: As in `ImageRecord`.
        class_name: Where known, else "".
        code: One short word, as `FilmError.code`.
        reason: One sentence.
    """

    image_id: str
    class_name: str
    code: str
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """What a scan found: the films, what it left out, and what the user should hear.

    Attributes:
        records: In a stable order, sorted by `image_id`.
        rejections: Left out already while scanning (not an image, label not a number, …).
        notices: Sentences for the user, for example that a manifest beside the folder was used.
    """

    records: tuple[ImageRecord, ...]
    rejections: tuple[Rejection, ...] = ()
    notices: tuple[str, ...] = field(default=())


class AbstractSource(ABC):
    """A place where films come from.

    Instances can be pickled: films are read in worker processes. Opening files happens in `read`,
    not in `__init__`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables and messages, for example the folder's name."""

    @property
    @abstractmethod
    def class_map(self) -> ClassMap:
        """Which labels mean which class."""

    @abstractmethod
    def scan(self) -> ScanResult:
        """List the films without decoding them.

        Raises:
            EmptySourceError: There is no film.
            ClassMapError: A folder or label that no class claims.
        """

    @abstractmethod
    def read(self, location: str) -> bytes | NDArray[np.uint8]:
        """Read one film or mask: the bytes of its file, or its pixels where there is no file.

        Args:
            location: Of an `ImageRecord`.

        Returns:
            Encoded bytes for `data/image.py`, or grey levels 0 to 255, (height, width).

        Raises:
            FilmError: The film is gone or cannot be read.
        """
