"""From the stored levels of a DICOM image to the grey levels on a display, 0 to 1.

PS3.3 C.7.6.3 (pixels), C.11.1 (modality), C.11.2 (value of interest).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder, pixel_array

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.limits import check_size

# The size that a compressed image inside DICOM states of itself, read without decoding it.
#
# Rows and Columns of the header may be wrong. Decoders that trust them shear the image or crash,
# and decoders that do not would unpack whatever size the image claims.


_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN = 0xDA


def read_codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Read width and height of a JPEG, JPEG-LS or JPEG 2000 picture.

    Args:
        frame: One encapsulated frame.

    Returns:
        Width and height in pixels; None where the frame states none that we can find.
    """
    if frame.startswith(_JPEG_START):
        return _read_jpeg_size(frame)
    start = frame.find(_JPEG_2000_START)
    return _read_jpeg_2000_size(frame[start + 8 : start + 24]) if start >= 0 else None


def _read_jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Go from marker to marker to the start of the frame (ISO 10918-1 B.2, ISO 14495-1 C.2)."""
    place = len(_JPEG_START)
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker in _START_OF_FRAME:
            height, width = frame[place + 5 : place + 7], frame[place + 7 : place + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        if marker == _START_OF_SCAN:
            return None
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _read_jpeg_2000_size(body: bytes) -> tuple[int, int] | None:
    """Read the SIZ segment from its Xsiz on (ISO 15444-1 A.5.1): image area less its offset."""
    if len(body) < 16:
        return None
    right, bottom, left, top = (int.from_bytes(body[at : at + 4], "big") for at in range(0, 16, 4))
    return right - left, bottom - top


MAY_CRASH = frozenset(
    {uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless}
)
"""Transfer syntaxes whose one decoder, GDCM, aborts the process on some damaged files."""

_DECODERS = dict.fromkeys(
    (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000, uid.JPEG2000Lossless), "pillow"
)


PIXEL_TAGS = (
    "BitsAllocated",
    "BitsStored",
    "BluePaletteColorLookupTableData",
    "BluePaletteColorLookupTableDescriptor",
    "Columns",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "GreenPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableDescriptor",
    "HighBit",
    "ModalityLUTSequence",
    "PhotometricInterpretation",
    "PixelData",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PixelRepresentation",
    "PlanarConfiguration",
    "RedPaletteColorLookupTableData",
    "RedPaletteColorLookupTableDescriptor",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SamplesPerPixel",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
)
"""Tags that the pixels are computed from."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_PHOTOMETRIC = {
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
}


def compute_pixels(dataset: pydicom.Dataset) -> NDArray[np.float32]:
    """Compute the image as it is meant to be shown.

    Args:
        dataset: With its pixel data, one frame.

    Returns:
        (height, width), 0 (black) to 1 (white).

    Raises:
        Exception: Whatever pydicom raises for a damaged file; the caller explains it.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    stored = pixel_array(dataset, decoding_plugin=_DECODERS.get(syntax, ""))
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)
        return _convert_to_luma(colours, white=np.iinfo(colours.dtype).max)
    if stored.ndim == 3:
        return _convert_to_luma(stored, white=2**dataset.BitsStored - 1)
    return _show_grey(stored, dataset)


def describe_mode(dataset: pydicom.Dataset) -> str:
    """Describe how the image is stored, for example "MONOCHROME2;12"."""
    return f"{dataset.PhotometricInterpretation};{dataset.BitsStored}"


def check_readable(dataset: pydicom.Dataset) -> None:
    """Refuse, before anything is decoded, what would be too large or cannot be decoded.

    Raises:
        ImageError: "no-pixels", "format-not-allowed", "too-large", "too-small", or "damaged" if
            the compressed picture has another size than the header says.
    """
    if "PixelData" not in dataset:
        raise ImageError("no-pixels", "The DICOM file holds no image. Leave it out.")
    check_size(int(dataset.Columns), int(dataset.Rows))
    if dataset.PhotometricInterpretation not in _PHOTOMETRIC:
        raise ImageError(
            "format-not-allowed", "PhotometricInterpretation (0028,0004) is not supported."
        )
    if not _has_decoder(dataset.file_meta.TransferSyntaxUID):
        raise ImageError(
            "format-not-allowed",
            "TransferSyntaxUID (0002,0010) is not supported. Export the image uncompressed.",
        )

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax != uid.RLELossless:
        _check_codestream(dataset)


def _check_codestream(dataset: pydicom.Dataset) -> None:
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    size = read_codestream_size(frame)
    if size is not None and size != (dataset.Columns, dataset.Rows):
        raise ImageError(
            "damaged",
            "The picture in the DICOM file has another size than Rows (0028,0010) and Columns "
            "(0028,0011) say. Export the image again.",
        )


def _has_decoder(syntax: uid.UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _convert_to_luma(colours: NDArray[Any], *, white: int) -> NDArray[np.float32]:
    """Turn (height, width, 3 or more) into grey by Rec. 601, as `image_grey` does."""
    levels = colours[:, :, :3].astype(np.float32) / np.float32(white)
    return np.clip(levels @ _LUMA, 0, 1)


def _show_grey(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.float32]:
    levels, low, high = _apply_modality(stored, dataset)
    pixels = _apply_values_of_interest(levels, dataset)
    if pixels is None:
        pixels = (levels.astype(np.float32) - low) / (high - low)
    pixels = np.clip(pixels, 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1 - pixels
    padding = _find_padding(stored, dataset)
    return pixels if padding is None else np.where(padding, np.float32(0), pixels)


def _apply_modality(
    stored: NDArray[Any], dataset: pydicom.Dataset
) -> tuple[NDArray[Any], float, float]:
    """Apply the modality table or rescale; give the levels and the range they can have."""
    if dataset.get("ModalityLUTSequence"):
        bits = dataset.ModalityLUTSequence[0].LUTDescriptor[2]
        return apply_modality_lut(stored, dataset), 0.0, float(2**bits - 1)
    bits = dataset.BitsStored
    lowest = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    low, high = float(lowest), float(lowest + 2**bits - 1)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    if (slope, intercept) == (1, 0):
        return stored, low, high
    low, high = sorted((low * slope + intercept, high * slope + intercept))
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept), low, high


def _apply_values_of_interest(
    levels: NDArray[Any], dataset: pydicom.Dataset
) -> NDArray[np.float32] | None:
    """Apply the first table, else the first window; None where there is neither."""
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        whole = levels if levels.dtype.kind in "iu" else np.rint(levels).astype(np.int32)
        shown: NDArray[np.float32] = np.divide(
            apply_voi(whole, dataset), 2**bits - 1, dtype=np.float32
        )
        return shown
    centre, width = _read_first(dataset, "WindowCenter"), _read_first(dataset, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return apply_window(levels, centre=centre, width=width, function=function)


def _read_first(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """Read the first of one or several numbers."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    number = float(value if isinstance(value, (int, float)) else np.ravel(value)[0])
    return number if np.isfinite(number) else None


def apply_window(
    levels: NDArray[Any], *, centre: float, width: float, function: str
) -> NDArray[np.float32]:
    """Map levels to 0 … 1 by a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Args:
        levels: After the modality rescale.
        centre: Of the window.
        width: Above 0.
        function: "LINEAR", "LINEAR_EXACT" or "SIGMOID".
    """
    values: NDArray[np.float32] = levels.astype(np.float32)
    if function == "SIGMOID":
        values = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))
    elif function == "LINEAR_EXACT":
        values = (values - centre) / width + 0.5
    elif width > 1:
        values = (values - (centre - 0.5)) / (width - 1) + 0.5
    else:
        values = (values > centre - 0.5).astype(np.float32)
    return np.clip(values, 0, 1)


def _find_padding(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.bool_] | None:
    """Find the pixels that are no part of the image; None where no padding is stated."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(first), int(first if last is None else last)))
    inside: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return inside
