"""Compressed pictures inside DICOM: what they state of themselves, and who decodes which.

Rows and Columns of the header may be wrong. Decoders that trust them shear the image or crash, and
decoders that do not would unpack whatever size the image claims. So the size that the picture
states of itself is read before it is decoded.
"""

from __future__ import annotations

import io
from typing import Any

import gdcm
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, pixel_array

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.completeness import check_complete
from cxresnet.data.decode.jpeg import (
    END_OF_PICTURE,
    JPEG_START,
    check_scans,
    find_start_of_frame,
    read_jpeg_size,
)

_JPEG_2000_START = b"\xff\x4f\xff\x51"
_TAIL_BYTES = 64
"""The picture ends so near to the end of its frame; padding and a short box may follow."""


def read_codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Read width and height of a JPEG, JPEG-LS or JPEG 2000 picture.

    Args:
        frame: One encapsulated frame.

    Returns:
        Width and height in pixels; None where the frame states none that we can find.
    """
    if frame.startswith(JPEG_START):
        return read_jpeg_size(frame)
    start = frame.find(_JPEG_2000_START)
    return _read_jpeg_2000_size(frame[start + 8 : start + 24]) if start >= 0 else None


def _read_jpeg_2000_size(body: bytes) -> tuple[int, int] | None:
    """Read the SIZ segment from its Xsiz on (ISO 15444-1 A.5.1): image area less its offset."""
    if len(body) < 16:
        return None
    right, bottom, left, top = (int.from_bytes(body[at : at + 4], "big") for at in range(0, 16, 4))
    return right - left, bottom - top


def read_precision(dataset: pydicom.Dataset) -> int | None:
    """Read how many bits a sample has in the compressed picture; None where it does not say."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or syntax == uid.RLELossless:
        return None
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    start = frame.find(_JPEG_2000_START)
    if frame.startswith(JPEG_START):
        place = find_start_of_frame(frame)
        return frame[place + 4] if place else None
    return (frame[start + 42] & 0x7F) + 1 if 0 <= start < len(frame) - 42 else None


# Decoders: Pillow for JPEG and JPEG 2000; GDCM for what Pillow cannot read. GDCM aborts its process
# on some damaged files.

_JPEG_2000 = frozenset({uid.JPEG2000, uid.JPEG2000Lossless})
_JPEG = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit})
_PILLOW = _JPEG | _JPEG_2000


def has_second_decoder(dataset: pydicom.Dataset) -> bool:
    """Say whether GDCM may read what Pillow could not: JPEG 2000 in one of the rarer wrappings.

    A bare or an unfinished codestream is left to Pillow, which refuses it where it is damaged; GDCM
    would fill in what is missing.
    """
    if dataset.file_meta.TransferSyntaxUID not in _JPEG_2000:
        return False
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    return not frame.startswith(_JPEG_2000_START) and END_OF_PICTURE in frame[-_TAIL_BYTES:]


def decode_samples(dataset: pydicom.Dataset, *, second: bool = False) -> NDArray[Any]:
    """Decode the stored samples; colour comes as RGB.

    Args:
        dataset: With its pixel data, one frame.
        second: Let GDCM decode what Pillow usually does.

    Raises:
        ImageError: "truncated".
        Exception: Whatever the decoder raises for a damaged picture.
    """
    if _is_deep_jpeg(dataset):
        return _decode_deep_jpeg(dataset)
    _require_whole_jpeg(dataset)
    plugin = "pillow" if dataset.file_meta.TransferSyntaxUID in _PILLOW else ""
    samples: NDArray[Any] = pixel_array(dataset, decoding_plugin="gdcm" if second else plugin)
    return samples


def check_compression(dataset: pydicom.Dataset) -> None:
    """Refuse, before anything is decoded, what cannot be decoded.

    Raises:
        ImageError: "format-not-allowed", or "damaged" if the compressed picture has another size
            than the header says.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not _has_decoder(syntax):
        raise ImageError(
            "format-not-allowed",
            f"This compression cannot be read here: {_name_syntax(syntax)} in TransferSyntaxUID "
            "(0002,0010). Export the image uncompressed.",
        )
    if syntax.is_encapsulated and syntax != uid.RLELossless:
        _check_size(dataset)


def _check_size(dataset: pydicom.Dataset) -> None:
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if frame.startswith(JPEG_START):
        check_scans(frame)
    size = read_codestream_size(frame)
    if size is not None and size != (dataset.Columns, dataset.Rows):
        raise ImageError(
            "damaged",
            "The picture in the DICOM file has another size than Rows (0028,0010) and Columns "
            "(0028,0011) say. Export the image again.",
        )


def _require_whole_jpeg(dataset: pydicom.Dataset) -> None:
    """Refuse a JPEG of 8 bits that ends too early; its decoder makes up the rest."""
    if dataset.file_meta.TransferSyntaxUID not in _JPEG:
        return
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    with Image.open(io.BytesIO(frame), formats=("JPEG",)) as picture:
        picture.load()
        check_complete(picture, frame)


def _has_decoder(syntax: uid.UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _name_syntax(syntax: uid.UID) -> str:
    """Name a transfer syntax of the standard; a private one has no name that could be shown."""
    return syntax.name if syntax in uid.AllTransferSyntaxes else "an unknown one"


def _is_deep_jpeg(dataset: pydicom.Dataset) -> bool:
    """Tell JPEG of 12 bits, for which Pillow is not built."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return syntax == uid.JPEGExtended12Bit and (read_precision(dataset) or 8) > 8


def _decode_deep_jpeg(dataset: pydicom.Dataset) -> NDArray[Any]:
    """Decode JPEG of 12 bits by GDCM itself; pydicom's way to GDCM is closed for it."""
    frames = gdcm.SequenceOfFragments.New()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    frames.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(frames.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((dataset.Columns, dataset.Rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(dataset.PhotometricInterpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(str(uid.JPEGExtended12Bit))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    bits = read_precision(dataset) or dataset.BitsStored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, 0))
    content = image.GetBuffer().encode("utf-8", "surrogateescape")
    shape = int(dataset.Rows), int(dataset.Columns)
    levels: NDArray[Any] = np.frombuffer(content, "<u2").reshape(shape)
    if not dataset.PixelRepresentation:
        return levels
    half = 2 ** (bits - 1)
    signed: NDArray[np.int32] = (levels.astype(np.int32) ^ half) - half
    return signed
