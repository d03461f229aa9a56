"""The one door for bytes: from a file of any allowed kind to a film, or to a `FilmError`.

The kind is told from the bytes, the size is checked on the header, then one decoder is entered.
A file of several pages gives its first. Every class and every source goes through here, so that
how a film was stored cannot tell what it shows.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import CXResnetError, FilmError
from cxresnet.data.blocks import average_blocks
from cxresnet.data.dicom import read_dicom_film
from cxresnet.data.image_formats import sniff_format
from cxresnet.data.image_grey import to_grey
from cxresnet.data.image_limits import MAX_PIXELS, check_size

__all__ = ["DecodedFilm", "decode_film", "decode_mask"]


@dataclass(frozen=True)
class DecodedFilm:
    """One film's grey levels, and what its file said of itself.

    Attributes:
        pixels: (height, width), 0 (black) to 1 (white), upright; of a large film means of blocks,
            where that was asked for.
        width: As stored, in pixels, before any turning.
        height: As stored, in pixels, before any turning.
        format: One of `image_formats.ALLOWED_FORMATS`.
        mode: Pillow's name of the stored mode ("L", "RGB", "I;16"); for DICOM its
            photometric interpretation and bits stored ("MONOCHROME2;12").
        size_bytes: Of the file.
    """

    pixels: NDArray[np.float32]
    width: int
    height: int
    format: str
    mode: str
    size_bytes: int


def decode_film(content: bytes, *, least_side_px: int = 0) -> DecodedFilm:
    """Decode a film from the bytes of its file.

    Args:
        content: PNG, JPEG, BMP, TIFF, WebP or DICOM, whatever the file was called.
        least_side_px: A larger film is averaged over whole blocks of pixels while its shorter side
            keeps at least so many; 0 keeps every pixel.

    Returns:
        The film, with at least two different grey levels.

    Raises:
        FilmError: "empty", "not-an-image", "format-not-allowed", "too-large", "too-small",
            "truncated", "damaged", "blank"; for DICOM also the codes of `read_dicom_film`.
        MissingExtraError: The file is DICOM and the extra `dicom` is not installed.
    """
    film = _decode(content, least_side_px=least_side_px)
    if float(film.pixels.min()) == float(film.pixels.max()):
        raise FilmError("blank", "The film is blank: every pixel has the same grey level.")
    return film


def decode_mask(content: bytes | NDArray[np.generic]) -> NDArray[np.bool_]:
    """Decode a mask, however its two levels are written: 0 and 1, 0 and 255, black and red.

    Args:
        content: The bytes of a picture, or its levels, (height, width).

    Returns:
        (height, width); true where the level is more than half of the mask's own highest.

    Raises:
        FilmError: As `decode_film`, except "blank"; a mask may be empty.
    """
    levels = _decode(content).pixels if isinstance(content, bytes) else np.asarray(content)
    if levels.ndim != 2 or not levels.size:
        raise FilmError("damaged", f"A mask has height and width; this has shape {levels.shape}.")
    highest = float(levels.max())
    return levels > highest / 2 if highest > 0 else np.zeros(levels.shape, dtype=np.bool_)


def _decode(content: bytes, *, least_side_px: int = 0) -> DecodedFilm:
    kind = sniff_format(content)
    if kind == "DICOM":
        return _decode_dicom(content, least_side_px=least_side_px)
    return _decode_picture(content, kind=kind, least_side_px=least_side_px)


def _decode_picture(content: bytes, *, kind: str, least_side_px: int) -> DecodedFilm:
    """Decode with Pillow; whatever goes wrong inside comes out as a `FilmError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=(kind,)) as image:
                check_size(*image.size)
                (width, height), mode = image.size, image.mode
                image.load()
                pixels = to_grey(image, least_side_px=least_side_px)
        except CXResnetError:
            raise
        except Image.DecompressionBombError as error:
            raise FilmError(
                "too-large",
                f"The film has far more than the {MAX_PIXELS // 1_000_000} million pixels that "
                "are read. Reduce it first.",
            ) from error
        except Exception as error:
            raise _explain_failure(error, kind=kind) from error
    return DecodedFilm(pixels, width, height, kind, mode, len(content))


def _explain_failure(error: Exception, *, kind: str) -> FilmError:
    """Tell a file that was cut off from one that is damaged otherwise."""
    if isinstance(error, (EOFError, struct.error)) or "truncated" in str(error).lower():
        return FilmError("truncated", f"The {kind} file is cut off. Fetch it again.")
    return FilmError(
        "damaged", f"The {kind} file is damaged or of a rare kind. Fetch or convert it again."
    )


def _decode_dicom(content: bytes, *, least_side_px: int) -> DecodedFilm:
    film = read_dicom_film(content)
    height, width = film.pixels.shape
    pixels = average_blocks(film.pixels, least_side_px=least_side_px)
    return DecodedFilm(pixels, width, height, "DICOM", film.mode, len(content))
