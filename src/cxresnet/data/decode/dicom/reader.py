"""Read DICOM with pydicom and GDCM; every failure becomes an `ImageError`."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pydicom
from pydicom import uid

from cxresnet.core.errors import CXResnetError, ImageError
from cxresnet.data.decode.dicom.codestream import has_second_decoder, may_crash
from cxresnet.data.decode.dicom.identity import HEADER_TAGS, check_chest_radiograph, extract_tags
from cxresnet.data.decode.dicom.isolation import decode_isolated
from cxresnet.data.decode.dicom.pixels import (
    PIXEL_TAGS,
    ShownImage,
    check_readable,
    compute_pixels,
    describe_mode,
)
from cxresnet.data.decode.limits import MAX_PIXELS

_MAX_INFLATED_BYTES = MAX_PIXELS * 4
_INFLATE_STEP_BYTES = 16 * 1024 * 1024
_META_START = 132
_GROUP_LENGTH_BYTES = 12
_DEFLATED = str(uid.DeflatedExplicitVRLittleEndian).encode()


@dataclass(frozen=True)
class ReadImage:
    """What `image.DicomImage` is made of.

    Attributes:
        shown: The pixels, and notes about tags of the display.
        mode: See `DicomImage`.
        notes: About tags that say what the image is.
    """

    shown: ShownImage
    mode: str
    notes: tuple[str, ...]


def read_pixels(content: bytes, *, any_body_part: bool = False) -> ReadImage:
    """Read an image's pixels, (height, width) from 0 to 1, its mode, and notes.

    Raises:
        ImageError: See `image.read_dicom_image`.
    """
    with _refusing_damage():
        dataset, notes = _open_radiograph(content, any_body_part=any_body_part)
        shown = _compute(dataset, content)
        return ReadImage(shown, describe_mode(dataset), notes)


def _compute(dataset: pydicom.Dataset, content: bytes) -> ShownImage:
    """Compute the pixels here, or in the other process where GDCM is needed."""
    if may_crash(dataset):
        return ShownImage(*decode_isolated(content))
    try:
        return compute_pixels(dataset)
    except Exception:
        if not has_second_decoder(dataset):
            raise
    return ShownImage(*decode_isolated(content))


def read_pixels_in_process(content: bytes) -> ShownImage:
    """Read an image's pixels in this process, by the decoder that may crash it."""
    with _refusing_damage():
        dataset, _ = _open_radiograph(content, any_body_part=True)
        return compute_pixels(dataset, second_decoder=has_second_decoder(dataset))


def read_tags(stream: BinaryIO, *, any_body_part: bool = False) -> dict[str, Any]:
    """Read the fields of a `image.DicomHeader`.

    Raises:
        ImageError: See `image.read_dicom_image`.
    """
    with _refusing_damage():
        dataset = _open(stream, tags=HEADER_TAGS, with_pixels=False)
        check_chest_radiograph(dataset, any_body_part=any_body_part)
        return extract_tags(dataset)


def _open_radiograph(
    content: bytes, *, any_body_part: bool
) -> tuple[pydicom.Dataset, tuple[str, ...]]:
    dataset = _open(io.BytesIO(content), tags=HEADER_TAGS + PIXEL_TAGS, with_pixels=True)
    notes = check_chest_radiograph(dataset, any_body_part=any_body_part)
    check_readable(dataset)
    return dataset, notes


def _open(stream: BinaryIO, *, tags: tuple[str, ...], with_pixels: bool) -> pydicom.Dataset:
    """Read the named tags alone; the rest of the dataset is never kept."""
    _check_inflated_size(stream)
    dataset = pydicom.dcmread(
        stream, force=True, specific_tags=list(tags), stop_before_pixels=not with_pixels
    )
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guess_transfer_syntax(dataset)
    return dataset


def _guess_transfer_syntax(dataset: pydicom.Dataset) -> uid.UID:
    """Name the encoding that was found, for files written without a meta header."""
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if is_little_endian else uid.ExplicitVRBigEndian


def _check_inflated_size(stream: BinaryIO) -> None:
    """Refuse a deflated file that would unpack to more than any image; pydicom has no limit."""
    head = stream.read(2048)
    if _DEFLATED not in head:
        stream.seek(0)
        return
    (length,) = struct.unpack_from("<I", head, _META_START + _GROUP_LENGTH_BYTES - 4)
    stream.seek(_META_START + _GROUP_LENGTH_BYTES + length)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, size = stream.read(), 0
    while rest and size <= _MAX_INFLATED_BYTES:
        size += len(inflater.decompress(rest, _INFLATE_STEP_BYTES))
        rest = inflater.unconsumed_tail
    if size > _MAX_INFLATED_BYTES:
        raise ImageError(
            "too-large",
            f"The DICOM file unpacks to more than {_MAX_INFLATED_BYTES // 1_000_000} MB. "
            "Leave it out.",
        )
    stream.seek(0)


@contextlib.contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn whatever goes wrong into a `ImageError`, and keep pydicom from speaking.

    Their messages quote values of tags, and a value may be a name; for the same reason the cause
    is not chained.
    """
    log = logging.getLogger("pydicom")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CXResnetError:
        raise
    except Exception as error:  # noqa: BLE001  any fault of a parser is a fault of the file
        raise _explain_failure(error) from None
    finally:
        log.disabled = was_disabled


def _explain_failure(error: Exception) -> ImageError:
    text = str(error)
    cut = isinstance(error, (EOFError, struct.error)) or "less than expected" in text
    if cut or "truncated" in text.lower():
        return ImageError("truncated", "The DICOM file is cut off. Download it again.")
    return ImageError(
        "damaged", "The DICOM file is damaged or of a rare kind. Download or convert it again."
    )
