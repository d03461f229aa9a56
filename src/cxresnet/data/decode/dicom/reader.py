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
from pydicom.charset import default_encoding
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble
from pydicom.tag import BaseTag, Tag

from cxresnet.core.errors import CXResnetError, ImageError
from cxresnet.data.decode.dicom.codestream import has_second_decoder
from cxresnet.data.decode.dicom.identity import HEADER_TAGS, check_chest_radiograph, extract_tags
from cxresnet.data.decode.dicom.pixels import (
    PIXEL_TAGS,
    ShownImage,
    check_readable,
    compute_pixels,
    describe_mode,
)
from cxresnet.data.decode.limits import MAX_PIXELS, is_out_of_memory

_MAX_INFLATED_BYTES = MAX_PIXELS * 4
_INFLATE_STEP_BYTES = 16 * 1024 * 1024


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
        shown = _compute(dataset)
        return ReadImage(shown, describe_mode(dataset), notes)


def _compute(dataset: pydicom.Dataset) -> ShownImage:
    """Compute the pixels, by the second decoder where the first one fails."""
    try:
        return compute_pixels(dataset)
    except ImageError:
        raise
    except Exception:
        if not has_second_decoder(dataset):
            raise
    return compute_pixels(dataset, second_decoder=True)


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
    read_preamble(stream, force=True)
    meta = _read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
        return _open_deflated(stream, meta, tags=tags, with_pixels=with_pixels)
    stream.seek(0)
    dataset = pydicom.dcmread(
        stream, force=True, specific_tags=list(tags), stop_before_pixels=not with_pixels
    )
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _guess_transfer_syntax(dataset)
    return dataset


def _open_deflated(
    stream: BinaryIO, meta: FileMetaDataset, *, tags: tuple[str, ...], with_pixels: bool
) -> pydicom.Dataset:
    """Read a deflated file behind its meta header; pydicom would unpack whatever it holds."""
    unpacked = _inflate(stream.read())
    elements = read_dataset(
        unpacked,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=None if with_pixels else _is_pixel_data,
        specific_tags=[Tag(tag) for tag in tags],
    )
    dataset = FileDataset(unpacked, elements, None, meta, False, True)  # noqa: FBT003  by place
    dataset.set_original_encoding(False, True, default_encoding)  # noqa: FBT003  by place
    return dataset


def _is_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag == Tag("PixelData"))


def _guess_transfer_syntax(dataset: pydicom.Dataset) -> uid.UID:
    """Name the encoding that was found, for files written without a meta header."""
    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if is_little_endian else uid.ExplicitVRBigEndian


def _inflate(packed: bytes) -> io.BytesIO:
    """Unpack a deflated dataset, and refuse one larger than any image."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = io.BytesIO()
    while not inflater.eof:
        part = inflater.decompress(packed, _INFLATE_STEP_BYTES)
        packed = inflater.unconsumed_tail
        if not part and not packed and not inflater.eof:
            raise EOFError("the deflated dataset is cut off")
        if unpacked.tell() + len(part) > _MAX_INFLATED_BYTES:
            raise ImageError(
                "too-large",
                f"The DICOM file unpacks to more than {_MAX_INFLATED_BYTES // 1_000_000} MB. "
                "Leave it out.",
            )
        unpacked.write(part)
    unpacked.seek(0)
    return unpacked


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
        if is_out_of_memory(error):
            raise MemoryError from None
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
