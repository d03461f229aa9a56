"""From the stored levels of a DICOM image to the grey levels on a display, 0 to 1.

PS3.3 C.7.6.3 (pixels), C.11.1 (modality), C.11.2 (value of interest). One bad tag about the display
does not lose the image: what can be read is used, and a note says what could not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import get_expected_length

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.dicom.codestream import (
    check_compression,
    decode_samples,
    read_precision,
)
from cxresnet.data.decode.dicom.display_tags import LookupTable, build_table, read_numbers
from cxresnet.data.decode.limits import check_size

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
    "PresentationLUTShape",
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

_SHALLOW_BITS = 8
"""Up to so many bits a window is followed whatever it does: what it hides was hidden on purpose."""

_NAMES = {
    "ModalityLUTSequence": "ModalityLUTSequence (0028,3000)",
    "RescaleIntercept": "RescaleIntercept (0028,1052)",
    "RescaleSlope": "RescaleSlope (0028,1053)",
    "VOILUTSequence": "VOILUTSequence (0028,3010)",
}

_ONE_SAMPLE = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
_STRIP_ROWS = 256
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


@dataclass(frozen=True)
class ShownImage:
    """An image as it is meant to be shown.

    Attributes:
        pixels: (height, width), 0 (black) to 1 (white).
        notes: Sentences about tags that were not followed; none holds a value of a tag.
    """

    pixels: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def compute_pixels(dataset: pydicom.Dataset, *, second_decoder: bool = False) -> ShownImage:
    """Compute the image as it is meant to be shown.

    Args:
        dataset: With its pixel data, one frame.
        second_decoder: See `codestream.decode_samples`.

    Raises:
        Exception: Whatever pydicom raises for a damaged file; the caller explains it.
    """
    stored = _read_stored(dataset, second_decoder=second_decoder)
    _check_shape(stored, dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return ShownImage(_apply_palette(stored, dataset))
    if dataset.SamplesPerPixel > 1:
        return ShownImage(_convert_to_luma(stored, white=2**dataset.BitsStored - 1))
    return _show_grey(stored, dataset)


def describe_mode(dataset: pydicom.Dataset) -> str:
    """Describe how the image is stored, for example "MONOCHROME2;12"."""
    return f"{dataset.PhotometricInterpretation};{dataset.BitsStored}"


def check_readable(dataset: pydicom.Dataset) -> None:
    """Refuse, before anything is decoded, what would be too large or cannot be decoded.

    Raises:
        ImageError: "no-pixels", "format-not-allowed", "too-large", "too-small", or "damaged" if
            the pixel data have another size than the header says.
    """
    if "PixelData" not in dataset:
        raise ImageError("no-pixels", "The DICOM file holds no image. Leave it out.")
    check_size(int(dataset.Columns), int(dataset.Rows))
    if dataset.PhotometricInterpretation not in _PHOTOMETRIC:
        raise ImageError(
            "format-not-allowed", "PhotometricInterpretation (0028,0004) is not supported."
        )
    check_compression(dataset)
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_length(dataset)


def _check_length(dataset: pydicom.Dataset) -> None:
    """Refuse more bytes than the image has: they would be read as an image of another shape.

    One byte may follow that makes the number of bytes even. Too few are found while decoding.
    """
    expected = get_expected_length(dataset)
    if len(dataset.PixelData) > expected + expected % 2:
        raise _refuse_size()


def _check_shape(stored: NDArray[Any], dataset: pydicom.Dataset) -> None:
    """Refuse samples that are not what the header says, whatever the decoder made of them."""
    samples = int(dataset.SamplesPerPixel)
    shape = (int(dataset.Rows), int(dataset.Columns))
    is_grey = dataset.PhotometricInterpretation in _ONE_SAMPLE
    if samples != (1 if is_grey else 3) or stored.shape != shape + (() if is_grey else (3,)):
        raise _refuse_size()


def _refuse_size() -> ImageError:
    return ImageError(
        "damaged",
        "The pixel data (7FE0,0010) have another size than Rows (0028,0010), Columns (0028,0011), "
        "SamplesPerPixel (0028,0002) and BitsAllocated (0028,0100) say. Export the image again.",
    )


# Stored levels: the bits that hold the image, whatever lies above and below them.


def _read_stored(dataset: pydicom.Dataset, *, second_decoder: bool) -> NDArray[Any]:
    """Decode the samples, and take the bits from HighBit down (PS3.5 8.1.1)."""
    bits = int(dataset.BitsStored)
    shift = _count_low_bits(dataset)
    if not shift:
        return decode_samples(dataset, second=second_decoder)
    dataset.BitsStored = bits + shift
    try:
        return decode_samples(dataset, second=second_decoder) >> shift
    finally:
        dataset.BitsStored = bits


def _count_low_bits(dataset: pydicom.Dataset) -> int:
    """Count the bits below the stored ones; a HighBit that cannot be is passed over."""
    bits, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    shift = int(dataset.get("HighBit", bits - 1)) + 1 - bits
    if not 0 < shift <= allocated - bits:
        return 0
    precision = read_precision(dataset)
    return shift if precision in (None, bits + shift) else 0


def _find_range(dataset: pydicom.Dataset) -> tuple[int, int]:
    """Find the lowest and the highest level that can be stored."""
    bits = int(dataset.BitsStored)
    lowest = -(2 ** (bits - 1)) if dataset.PixelRepresentation else 0
    return lowest, lowest + 2**bits - 1


# Colour


def _apply_palette(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.float32]:
    tables = []
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTable"
        tables.append(_read_table(dataset, dataset, keyword, *_find_range(dataset)))
    white = max(table.white for table in tables)
    colours = np.stack([table.apply(stored) for table in tables], axis=2)
    return _convert_to_luma(colours, white=white)


def _convert_to_luma(colours: NDArray[Any], *, white: int) -> NDArray[np.float32]:
    """Turn (height, width, 3 or more) into grey by Rec. 601, as `image_grey` does."""
    grey = np.empty(colours.shape[:2], dtype=np.float32)
    for row in range(0, len(colours), _STRIP_ROWS):  # never all colours as floats
        strip = slice(row, row + _STRIP_ROWS)
        levels = colours[strip, :, :3].astype(np.float32) / np.float32(white)
        np.clip(levels @ _LUMA, 0, 1, out=grey[strip])
    return grey


# Grey


@dataclass
class _Levels:
    """Levels on the way to the display.

    Attributes:
        values: (height, width).
        low: The lowest level that there can be.
        high: The highest.
        is_known: False where a modality transform could not be read; then no window fits.
        notes: What was not followed.
    """

    values: NDArray[Any]
    low: float
    high: float
    is_known: bool = True
    notes: list[str] = field(default_factory=list)

    def show_all(self) -> NDArray[np.float32]:
        """Show the full range."""
        return (self.values.astype(np.float32) - self.low) / (self.high - self.low)


def _show_grey(stored: NDArray[Any], dataset: pydicom.Dataset) -> ShownImage:
    padding = _find_padding(stored, dataset)
    levels = _apply_modality(stored, dataset)
    pixels = _apply_values_of_interest(levels, dataset, padding)
    if pixels is None:
        pixels = levels.show_all()
    pixels = np.clip(pixels, 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 1 - pixels
    if padding is not None:
        pixels = np.where(padding, np.float32(0), pixels)
    notes = (*levels.notes, *_find_contradictions(dataset))
    return ShownImage(pixels, notes)


def _find_contradictions(dataset: pydicom.Dataset) -> Iterator[str]:
    """Find a PresentationLUTShape that says the opposite of the photometric interpretation.

    The standard allows INVERSE for MONOCHROME1 alone, where both say the same (PS3.3 C.8.11.3.1.2);
    scanners are known that write it for images which are not inverted.
    """
    usual = "INVERSE" if dataset.PhotometricInterpretation == "MONOCHROME1" else "IDENTITY"
    if str(dataset.get("PresentationLUTShape") or usual).upper() != usual:
        yield (
            "PresentationLUTShape (2050,0020) contradicts PhotometricInterpretation (0028,0004), "
            "which was followed."
        )


def _apply_modality(stored: NDArray[Any], dataset: pydicom.Dataset) -> _Levels:
    """Apply the modality table or rescale; give the levels and the range they can have."""
    low, high = _find_range(dataset)
    notes: list[str] = []
    table = _find_table(dataset, "ModalityLUTSequence", low, high, notes)
    if table is not None:
        return _Levels(table.apply(stored), 0.0, float(table.white), notes=notes)
    slope, intercept = (
        _read_first(dataset, keyword, usual, notes)
        for keyword, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if notes:
        return _Levels(stored, low, high, is_known=False, notes=notes)
    slope = slope or 1.0
    if (slope, intercept) == (1, 0):
        return _Levels(stored, low, high)
    first, last = sorted((low * slope + intercept, high * slope + intercept))
    values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return _Levels(values, first, last)


def _apply_values_of_interest(
    levels: _Levels, dataset: pydicom.Dataset, padding: NDArray[np.bool_] | None
) -> NDArray[np.float32] | None:
    """Apply the first usable table, else the first usable window; None where there is neither."""
    if not levels.is_known:
        return None
    table = _find_table(dataset, "VOILUTSequence", levels.low, levels.high, levels.notes)
    if table is not None:
        return np.divide(table.apply(levels.values), table.white, dtype=np.float32)
    window = _find_window(dataset, levels.notes)
    if window is None:
        return None
    centre, width = window
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    pixels = apply_window(levels.values, centre=centre, width=width, function=function)
    if dataset.BitsStored > _SHALLOW_BITS and _is_lost(pixels, levels.show_all(), padding):
        levels.notes.append(
            "The window would have made more than half of the image black, or more than half "
            "white; the full range was shown instead."
        )
        return None
    return pixels


def _is_lost(
    pixels: NDArray[np.float32], whole: NDArray[np.float32], padding: NDArray[np.bool_] | None
) -> bool:
    """Say whether a window makes more than half of the image black, or more than half white.

    What is black or white in the full range too is not the window's doing, and padding is no part
    of the image.
    """
    inside = np.ones(pixels.shape, dtype=np.bool_) if padding is None else ~padding
    half = inside.sum() / 2
    black, white = (pixels <= 0) & (whole > 0), (pixels >= 1) & (whole < 1)
    return bool(max((black & inside).sum(), (white & inside).sum()) > half)


def _find_window(dataset: pydicom.Dataset, notes: list[str]) -> tuple[float, float] | None:
    """Find the first window with a centre and a width above 0."""
    centres = read_numbers(dataset, "WindowCenter")
    widths = read_numbers(dataset, "WindowWidth")
    for centre, width in zip(centres, widths, strict=False):
        if centre is not None and width is not None and width > 0:
            return centre, width
    if centres or widths:
        notes.append(
            "WindowCenter (0028,1050) and WindowWidth (0028,1051) hold no window that can be used; "
            "the full range was shown."
        )
    return None


def _read_first(dataset: pydicom.Dataset, keyword: str, usual: float, notes: list[str]) -> float:
    """Read the first number of a tag; the usual one where the tag is absent or cannot be read."""
    numbers = read_numbers(dataset, keyword)
    if not numbers:
        return usual
    if numbers[0] is None:
        notes.append(
            f"{_NAMES[keyword]} cannot be read; the levels were shown as stored, without a window."
        )
        return usual
    return numbers[0]


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


# Tables


def _find_table(
    dataset: pydicom.Dataset, keyword: str, low: float, high: float, notes: list[str]
) -> LookupTable | None:
    """Find the first item of a sequence that holds a table; empty items are passed over."""
    items = dataset.get(keyword) or ()
    for item in items:
        try:
            return _read_table(dataset, item, "LUT", low, high)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    if items:
        notes.append(f"{_NAMES[keyword]} holds no table that can be read; it was left out.")
    return None


def _read_table(
    dataset: pydicom.Dataset, item: pydicom.Dataset, keyword: str, low: float, high: float
) -> LookupTable:
    return build_table(
        getattr(item, f"{keyword}Descriptor"),
        getattr(item, f"{keyword}Data"),
        is_little_endian=dataset.file_meta.TransferSyntaxUID.is_little_endian,
        lowest=low,
        highest=high,
    )


# Padding


def _find_padding(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.bool_] | None:
    """Find the pixels that are no part of the image; None where no padding is stated."""
    first = _read_padding(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = _read_padding(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    inside: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return inside


def _read_padding(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """Read a level that was written with the other sign than the levels have."""
    value = dataset.get(keyword)
    if not isinstance(value, int):
        return None
    span = 2 ** int(dataset.BitsAllocated)
    level: int = int(value) % span
    return level - span if dataset.PixelRepresentation and level >= span // 2 else level
