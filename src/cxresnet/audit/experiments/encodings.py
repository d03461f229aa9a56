"""One image in eight encodings, as files that people have; all but one without any loss."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from cxresnet.audit.context import AuditContext
from cxresnet.audit.experiments.alterations import GreyImage
from cxresnet.audit.experiments.altered_answers import AlteredAnswers, OriginalAnswers, compare
from cxresnet.core.errors import ImageError, MissingExtraError
from cxresnet.core.progress import reporting_nothing, track


@dataclass(frozen=True)
class Encoding:
    """One way to store an image.

    Attributes:
        name: For people.
        encode: From grey levels, (row, column), to the bytes of a file.
        is_lossless: Whether every grey level is kept.
    """

    name: str
    encode: Callable[[GreyImage], bytes]
    is_lossless: bool = True


def _save(image: GreyImage, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, **options)
    return stream.getvalue()


def _encode_deep_png(image: GreyImage) -> bytes:
    """Encode as PNG of 16 bits: level 255 of 8 bits is 65535."""
    stream = io.BytesIO()
    Image.fromarray(image.astype(np.uint16) * 257).save(stream, format="PNG")
    return stream.getvalue()


def _encode_colour_png(image: GreyImage) -> bytes:
    return _save(np.stack([image] * 3, axis=-1), format="PNG")


def encode_dicom(image: GreyImage) -> bytes:
    """Encode as a DICOM chest radiograph of 8 bits, uncompressed, without any name.

    Raises:
        MissingExtraError: The extra `dicom` is not installed.
    """
    try:
        from pydicom import uid  # noqa: PLC0415  an extra, and slow to import
        from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415  likewise
    except ModuleNotFoundError as error:
        raise MissingExtraError("dicom", needed_for="Writing DICOM images") from error
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = uid.generate_uid(entropy_srcs=["cxresnet audit"])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.BodyPartExamined = "DX", "CHEST"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    levels = image.tobytes()
    dataset.PixelData = levels + b"\0" * (len(levels) % 2)
    dataset["PixelData"].VR = "OB"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


PNG = Encoding("PNG", partial(_save, format="PNG"))
"""What the others are compared with."""

OTHER_ENCODINGS = (
    Encoding("BMP", partial(_save, format="BMP")),
    Encoding("TIFF", partial(_save, format="TIFF")),
    Encoding("lossless WebP", partial(_save, format="WEBP", lossless=True)),
    Encoding("PNG of 16 bits", _encode_deep_png),
    Encoding("PNG in colour", _encode_colour_png),
    Encoding("DICOM", encode_dicom),
    Encoding("JPEG of quality 95", partial(_save, format="JPEG", quality=95), is_lossless=False),
)
"""In the order of the scorecard."""


# What a model answers to them.


@dataclass(frozen=True, eq=False)
class EncodingAnswers:
    """The answers to images in one encoding, compared with those to the same images as PNG.

    Attributes:
        encoding: The encoding.
        answers: None where its files could not be used.
        reason: Why not, one sentence.
        is_refused: Whether they were refused, although the same images as PNG were not.
    """

    encoding: Encoding
    answers: AlteredAnswers | None
    reason: str = ""
    is_refused: bool = False


def compare_encodings(
    context: AuditContext, originals: OriginalAnswers, *, count: int
) -> tuple[OriginalAnswers, tuple[EncodingAnswers, ...]]:
    """Compare the answers to the same images in other encodings with those to PNG.

    Args:
        context: Of the audit.
        originals: Their images are encoded, and go through decoding and preprocessing once more.
        count: At most so many of them, evenly chosen.

    Returns:
        The answers to PNG, and those to each other encoding.

    Raises:
        ImageError: Even the PNG cannot be used, as where the images are too small.
    """
    chosen = np.unique(np.linspace(0, len(originals.images) - 1, count).astype(np.intp))
    images = originals.images[chosen]
    probabilities = context.model.predict_files([PNG.encode(image) for image in images])
    reference = OriginalAnswers(
        images=images,
        groups=originals.groups[chosen],
        probabilities=probabilities,
        decisions=context.model.decide(probabilities),
    )
    encodings = track(OTHER_ENCODINGS, "Comparing file formats")
    return reference, tuple(_compare(context, reference, encoding) for encoding in encodings)


def _compare(
    context: AuditContext, reference: OriginalAnswers, encoding: Encoding
) -> EncodingAnswers:
    try:
        with reporting_nothing():
            contents = [encoding.encode(image) for image in reference.images]
            probabilities = context.model.predict_files(contents)
    except MissingExtraError as error:
        return EncodingAnswers(encoding, None, str(error))
    except ImageError as error:
        return EncodingAnswers(encoding, None, str(error), is_refused=True)
    answers = compare(context, reference, images=reference.images, probabilities=probabilities)
    return EncodingAnswers(encoding, answers)
