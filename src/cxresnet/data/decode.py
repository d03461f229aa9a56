"""One film from its source to a prepared film, or to the reason why not."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import FilmError, MissingExtraError
from cxresnet.data.blocks import average_blocks
from cxresnet.data.duplicates.fingerprint import compute_fingerprint
from cxresnet.data.image import DecodedFilm, decode_film, decode_mask
from cxresnet.data.preprocess import Preprocessing, prepare_film, prepare_mask
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource, Rejection

__all__ = ["FilmFacts", "PreparedFilm", "decode_record", "reject"]

_logger = logging.getLogger(__name__)

_FINGERPRINT_SOURCE_PX = 256
_BORDER_SHARE = 0.04
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class FilmFacts:
    """What the file was, and the fingerprints of what came in and what came out.

    Attributes:
        file_width: As stored, in pixels.
        file_height: As stored, in pixels.
        file_format: "PNG", "JPEG", "DICOM", …; "array" where the source had no file.
        file_mode: As stored, for example "L", "RGB", "I;16".
        file_bytes: Size of the file.
        border_grey: Mean grey of the decoded film's outer 4 %, 0 to 1.
        content_sha256: Of the bytes of the file.
        film_sha256: Of the prepared film's pixels.
    """

    file_width: int
    file_height: int
    file_format: str
    file_mode: str
    file_bytes: int
    border_grey: float
    content_sha256: str
    film_sha256: str


@dataclass(frozen=True, kw_only=True)
class PreparedFilm:
    """A film ready for the cache.

    Attributes:
        film: (side, side), 0 to 255.
        fingerprint: What its copies are recognised by; see `duplicates`.
        facts: What the file was.
        lung_mask: (side, side), 0 or 255; None where there is none.
        lesion_mask: The same.
        mask_problem: Why a mask was left out; "" where none was.
    """

    film: NDArray[np.uint8]
    fingerprint: NDArray[np.uint8]
    facts: FilmFacts
    lung_mask: NDArray[np.uint8] | None = None
    lesion_mask: NDArray[np.uint8] | None = None
    mask_problem: str = ""


def decode_record(
    source: AbstractSource, record: ImageRecord, preprocessing: Preprocessing
) -> PreparedFilm | Rejection:
    """Read, decode and prepare one film with its masks.

    Never raises for a film's sake: whatever is wrong with it becomes its rejection. A mask that
    cannot be used is left out; the film stays.
    """
    try:
        return _prepare(source, record, preprocessing)
    except FilmError as error:
        return reject(record, error.code, str(error))
    except MissingExtraError as error:
        return reject(record, "missing-extra", str(error))
    except OSError as error:
        return reject(record, "unreadable", f"The file cannot be read: {error.strerror or error}.")
    except Exception as error:  # one film must not end the work on all others
        _logger.exception("A film failed in a way that we did not foresee")
        return reject(record, "unexpected", f"It failed with {type(error).__name__}: {error}")


def reject(record: ImageRecord, code: str, reason: str) -> Rejection:
    """Build the rejection of a record."""
    return Rejection(
        image_id=record.image_id, class_name=record.class_name, code=code, reason=reason
    )


def _prepare(
    source: AbstractSource, record: ImageRecord, preprocessing: Preprocessing
) -> PreparedFilm:
    content = source.read(record.location)
    decoded = (
        decode_film(content, least_side_px=preprocessing.least_side_px)
        if isinstance(content, bytes)
        else _take_array(content)
    )
    film = prepare_film(decoded.pixels, preprocessing)
    problems: list[str] = []
    lung_mask, lesion_mask = (
        _read_mask(source, location, decoded.pixels.shape, preprocessing, problems)
        for location in (record.lung_mask, record.lesion_mask)
    )
    return PreparedFilm(
        film=film,
        fingerprint=compute_fingerprint(
            average_blocks(decoded.pixels, least_side_px=_FINGERPRINT_SOURCE_PX)
        ),
        facts=_compute_facts(decoded, content=content, film=film),
        lung_mask=lung_mask,
        lesion_mask=lesion_mask,
        mask_problem=" ".join(problems),
    )


def _take_array(levels: NDArray[np.uint8]) -> DecodedFilm:
    if levels.ndim != 2 or levels.dtype != np.uint8 or not levels.size:
        raise FilmError("not-an-image", f"The film has shape {levels.shape} and {levels.dtype}.")
    if levels.min() == levels.max():
        raise FilmError("blank", "The film is blank: every pixel has the same grey level.")
    height, width = levels.shape
    pixels = np.divide(levels, 255, dtype=np.float32)
    return DecodedFilm(pixels, width, height, "array", "L", levels.nbytes)


def _compute_facts(
    decoded: DecodedFilm, *, content: bytes | NDArray[np.uint8], film: NDArray[np.uint8]
) -> FilmFacts:
    stored = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return FilmFacts(
        file_width=decoded.width,
        file_height=decoded.height,
        file_format=decoded.format,
        file_mode=decoded.mode,
        file_bytes=decoded.size_bytes,
        border_grey=_compute_border_grey(decoded.pixels),
        content_sha256=hashlib.sha256(stored).hexdigest(),
        film_sha256=hashlib.sha256(film.tobytes()).hexdigest(),
    )


def _compute_border_grey(pixels: NDArray[np.float32]) -> float:
    edge = max(1, round(min(pixels.shape) * _BORDER_SHARE))
    sides = (pixels[:edge], pixels[-edge:], pixels[edge:-edge, :edge], pixels[edge:-edge, -edge:])
    total = sum(float(side.sum(dtype=np.float64)) for side in sides)
    return round(total / sum(side.size for side in sides), 6)


def _read_mask(
    source: AbstractSource,
    location: str,
    film_shape: tuple[int, ...],
    preprocessing: Preprocessing,
    problems: list[str],
) -> NDArray[np.uint8] | None:
    if not location:
        return None
    try:
        mask = decode_mask(source.read(location))
    except FilmError as error:
        problems.append(str(error))
        return None
    aspect, film_aspect = (shape[1] / shape[0] for shape in (mask.shape, film_shape))
    if abs(aspect / film_aspect - 1) > _ASPECT_TOLERANCE:
        problems.append("The mask has another shape than its film.")
        return None
    return prepare_mask(mask, preprocessing)
