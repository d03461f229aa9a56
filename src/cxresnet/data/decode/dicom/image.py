"""The entry point for DICOM: the pixels of an image, and the few tags that are needed.

Nothing here imports pydicom, which is an extra; it is imported when the first file is read.
No message, log line or warning carries a value of a tag: they name tags and codes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import MissingExtraError


@dataclass(frozen=True)
class DicomImage:
    """One chest radiograph as it is meant to be shown.

    Attributes:
        pixels: (height, width), 0 (black) to 1 (white); bone is white.
        mode: Photometric interpretation and bits stored, for example "MONOCHROME2;12".
        notes: Sentences about tags that are absent or were not followed.
    """

    pixels: NDArray[np.float32]
    mode: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """What a header states of an image. An empty string means "not recorded".

    Attributes:
        identifiers: From tag name to value as it stands, for those of `SOPInstanceUID`,
            `StudyInstanceUID`, `AccessionNumber` and `PatientID` that are there. They name a
            person: pseudonymise them before they go anywhere.
        view: "PA", "AP", "lateral" or "other".
        age_years: Digits; 90 stands for all above.
        sex: "F", "M" or "".
        device: Maker and product family; see `devices.py`.
    """

    identifiers: Mapping[str, str] = field(repr=False)
    view: str
    age_years: str
    sex: str
    device: str


def read_dicom_image(content: bytes, *, any_body_part: bool = False) -> DicomImage:
    """Read the pixels of a chest radiograph.

    Stored levels go through the modality rescale or table, then the first VOI table or window that
    can be used; without one the full range of the bits stored is black to white. MONOCHROME1 is
    inverted, padding is black, colour becomes Rec. 601 luma.

    Args:
        content: The whole file, with or without its preamble.
        any_body_part: Read any radiograph, whatever part of the body its header names.

    Raises:
        ImageError: "not-a-chest-radiograph", "multi-frame", "no-pixels", "format-not-allowed" (an
            unknown transfer syntax), "too-large", "too-small", "truncated", "damaged" or
            "decoder-crash".
        MissingExtraError: The extra `dicom` is not installed.
    """
    image = _import_reader().read_pixels(content, any_body_part=any_body_part)
    return DicomImage(image.shown.pixels, image.mode, (*image.notes, *image.shown.notes))


def read_dicom_header(stream: BinaryIO, *, any_body_part: bool = False) -> DicomHeader:
    """Read the header of a chest radiograph without its pixels.

    Args:
        stream: Of the file, at its start.
        any_body_part: As of `read_dicom_image`.

    Raises:
        ImageError: As `read_dicom_image`.
        MissingExtraError: The extra `dicom` is not installed.
    """
    return DicomHeader(**_import_reader().read_tags(stream, any_body_part=any_body_part))


def _import_reader() -> ModuleType:
    try:
        from cxresnet.data.decode.dicom import reader  # noqa: PLC0415  an extra, and slow to import
    except ModuleNotFoundError as error:
        raise MissingExtraError("dicom", needed_for="Reading DICOM images") from error
    return reader
