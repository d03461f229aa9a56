"""The image decoder, the single entry point for bytes: to an image, or to an `ImageError`.

The format is recognised by the bytes, the size is checked on the header, then one decoder runs, in
a process of its own unless the image is plain. Of a file of several pages the largest is used.
Every class and every source goes through here, so that the storage format does not predict the
class.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import CXResnetError, ImageError
from cxresnet.data.decode.block_mean import average_blocks
from cxresnet.data.decode.completeness import check_complete
from cxresnet.data.decode.dicom import read_dicom_image
from cxresnet.data.decode.formats import is_plain, measure_colour, sniff_format, to_grey
from cxresnet.data.decode.isolation import decode_isolated
from cxresnet.data.decode.jpeg import check_scans
from cxresnet.data.decode.limits import (
    DEFAULT_LIMITS,
    MAX_PIXELS,
    DecodeLimits,
    check_size,
    is_out_of_memory,
)

_MAX_PAGES = 64
"""Of a file of more pages, those after these are not looked at."""


@dataclass(frozen=True)
class DecodedImage:
    """One image's grey levels, and what its file states.

    Attributes:
        pixels: (height, width), 0 (black) to 1 (white), upright; of a large image means of blocks,
            where that was asked for.
        width: As stored, in pixels, before any turning.
        height: As stored, in pixels, before any turning.
        format: One of `image_formats.ALLOWED_FORMATS`.
        mode: Pillow's name of the stored mode ("L", "RGB", "I;16"); for DICOM its
            photometric interpretation and bits stored ("MONOCHROME2;12").
        size_bytes: Of the file.
        notes: Sentences about what the file does not say, or says and was not followed.
        colour: How coloured the picture is, 0 (grey) to 1; see `measure_colour`.
    """

    pixels: NDArray[np.float32]
    width: int
    height: int
    format: str
    mode: str
    size_bytes: int
    notes: tuple[str, ...] = ()
    colour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse levels that are no numbers, as of a slope that is infinite.

        Raises:
            ImageError: "damaged".
        """
        if not np.isfinite(self.pixels.sum()):
            raise ImageError("damaged", "Grey levels of the image are not numbers.")


def decode_image(
    content: bytes,
    *,
    min_side_px: int = 0,
    any_body_part: bool = False,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> DecodedImage:
    """Decode an image from the bytes of its file.

    Args:
        content: PNG, JPEG, BMP, TIFF, WebP or DICOM, whatever the file was called.
        min_side_px: A larger image is averaged over whole blocks of pixels while its shorter side
            keeps at least so many; 0 keeps every pixel.
        any_body_part: Decode a DICOM radiograph whatever part of the body its header names.
        limits: Memory and time that it may take.

    Returns:
        The image, with at least two different grey levels.

    Raises:
        ImageError: "empty", "not-an-image", "format-not-allowed", "too-large", "too-small",
            "too-slow", "truncated", "damaged", "decoder-crash", "blank"; for DICOM also the codes
            of `read_dicom_image`.
        MissingExtraError: The file is DICOM and the extra `dicom` is not installed.
    """
    image = _decode(content, limits, min_side_px=min_side_px, any_body_part=any_body_part)
    if float(image.pixels.min()) == float(image.pixels.max()):
        raise ImageError("blank", "The image is blank: every pixel has the same grey level.")
    return image


def decode_mask(
    content: bytes | NDArray[np.generic], *, limits: DecodeLimits = DEFAULT_LIMITS
) -> NDArray[np.bool_]:
    """Decode a mask, however its two levels are written: 0 and 1, 0 and 255, black and red.

    Args:
        content: The bytes of a picture, or its levels, (height, width).
        limits: Memory and time that it may take.

    Returns:
        (height, width); true where the level is more than half of the mask's own highest.

    Raises:
        ImageError: As `decode_image`, except "blank"; a mask may be empty.
    """
    levels = _decode(content, limits).pixels if isinstance(content, bytes) else np.asarray(content)
    if levels.ndim != 2 or not levels.size:
        raise ImageError("damaged", f"A mask has height and width; this has shape {levels.shape}.")
    highest = float(levels.max())
    return levels > highest / 2 if highest > 0 else np.zeros(levels.shape, dtype=np.bool_)


def _decode(content: bytes, limits: DecodeLimits, **options: Any) -> DecodedImage:
    """Decode a plain image here, and any other in a process of its own.

    Plain is what this process can decode within bounds that its header states: starting another
    takes longer than most such images do.
    """
    if is_plain(content, kind=sniff_format(content)):
        return decode_in_process(content, **options)
    pixels, about = decode_isolated(content, limits=limits, **options)
    return DecodedImage(pixels, **about)


def decode_in_process(
    content: bytes, *, min_side_px: int = 0, any_body_part: bool = False
) -> DecodedImage:
    """Decode an image in this process, plain or not, blank or not; see `decode_image`.

    Raises:
        MemoryError: There is too little.
    """
    kind = sniff_format(content)
    if kind == "DICOM":
        return _decode_dicom(content, min_side_px=min_side_px, any_body_part=any_body_part)
    return _decode_with_pillow(content, kind=kind, min_side_px=min_side_px)


def _decode_with_pillow(content: bytes, *, kind: str, min_side_px: int) -> DecodedImage:
    """Decode with Pillow; whatever goes wrong inside comes out as a `ImageError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind == "JPEG":
                check_scans(content)
            with Image.open(io.BytesIO(content), formats=(kind,)) as image:
                _turn_to_largest_page(image)
                check_size(*image.size)
                (width, height), mode = image.size, image.mode
                image.load()
                check_complete(image, content)
                pixels, colour = to_grey(image, min_side_px=min_side_px), measure_colour(image)
        except CXResnetError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(
                "too-large",
                f"The image has far more than the {MAX_PIXELS // 1_000_000} million pixels that "
                "are read. Reduce it first.",
            ) from error
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError from error
            raise _explain_failure(error, kind=kind) from error
    return DecodedImage(pixels, width, height, kind, mode, len(content), colour=colour)


def _turn_to_largest_page(image: Image.Image) -> None:
    """Turn a TIFF to its largest page, the first of several; a thumbnail may lie before the image.

    A damaged page ends the search: those before it can still be read.
    """
    if image.format != "TIFF":
        return
    areas: list[int] = []
    with contextlib.suppress(Exception):
        for page in range(_MAX_PAGES):
            image.seek(page)
            areas.append(image.width * image.height)
    image.seek(areas.index(max(areas)) if areas else 0)


def _explain_failure(error: Exception, *, kind: str) -> ImageError:
    """Tell a file that was cut off from one that is damaged otherwise."""
    if isinstance(error, (EOFError, struct.error)) or "truncated" in str(error).lower():
        return ImageError("truncated", f"The {kind} file is cut off. Download it again.")
    return ImageError(
        "damaged", f"The {kind} file is damaged or of a rare kind. Download or convert it again."
    )


def _decode_dicom(content: bytes, *, min_side_px: int, any_body_part: bool) -> DecodedImage:
    image = read_dicom_image(content, any_body_part=any_body_part)
    height, width = image.pixels.shape
    pixels = average_blocks(image.pixels, min_side_px=min_side_px)
    return DecodedImage(pixels, width, height, "DICOM", image.mode, len(content), image.notes)
