"""Decode and preprocess one image of a source, or say why not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import CODES_OF_THE_MACHINE, ImageError, explain_image_fault
from cxresnet.core.executor import AbstractWork
from cxresnet.data.decode.block_mean import average_blocks
from cxresnet.data.decode.decoder import DecodedImage, decode_image, decode_mask
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.data.decode.processing_traces import measure_processing_traces
from cxresnet.data.duplicates.fingerprint import compute_fingerprint
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.preprocessing import Preprocessing, prepare_image, prepare_mask
from cxresnet.data.sources.source import AbstractSource, Rejection

_FINGERPRINT_SOURCE_PX = 256
_BORDER_SHARE = 0.04
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What the file was, and the fingerprints of what came in and what came out.

    Attributes:
        file_width: As stored, in pixels.
        file_height: As stored, in pixels.
        file_format: "PNG", "JPEG", "DICOM", …; "array" where the source had no file.
        file_mode: As stored, for example "L", "RGB", "I;16".
        file_bytes: Size of the file.
        border_grey: Mean grey of the decoded image's outer 4 %, 0 to 1.
        flat_patch_share: Share of flat patches; see `processing_traces`.
        bandwidth_share: Highest frequency that holds detail; see `processing_traces`.
        block_edge_strength: How clearly blocks of JPEG show; see `processing_traces`.
        content_sha256: Of the bytes of the file.
        pixels_sha256: Of the prepared image's pixels.
    """

    file_width: int
    file_height: int
    file_format: str
    file_mode: str
    file_bytes: int
    border_grey: float
    flat_patch_share: float
    bandwidth_share: float
    block_edge_strength: float
    content_sha256: str
    pixels_sha256: str


@dataclass(frozen=True, kw_only=True)
class PreparedImage:
    """An image ready for the cache.

    Attributes:
        image: (side, side), 0 to 255.
        fingerprint: Identifies near-duplicates; see `duplicates`.
        facts: What the file was.
        lung_mask: (side, side), 0 or 255; None where there is none.
        lesion_mask: The same.
        mask_problem: Why a mask was left out; "" where none was.
        notes: What the decoder has to say; see `DecodedImage`.
    """

    image: NDArray[np.uint8]
    fingerprint: NDArray[np.uint8]
    facts: FileFacts
    lung_mask: NDArray[np.uint8] | None = None
    lesion_mask: NDArray[np.uint8] | None = None
    mask_problem: str = ""
    notes: tuple[str, ...] = ()


def decode_record(
    source: AbstractSource,
    record: ImageRecord,
    preprocessing: Preprocessing,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> PreparedImage | Rejection:
    """Read, decode and prepare one image with its masks.

    Never raises for an image's sake: whatever is wrong with it becomes its rejection. A mask that
    cannot be used is left out; the image stays.
    """
    try:
        return _prepare(Decoding(source, preprocessing, limits), record)
    except Exception as error:  # noqa: BLE001  one image must not end the work on all others
        fault = explain_image_fault(error)
        return reject(record, fault.code, str(fault))


def reject(record: ImageRecord, code: str, reason: str) -> Rejection:
    """Build the rejection of a record."""
    return Rejection(
        image_id=record.image_id, class_name=record.class_name, code=code, reason=reason
    )


def _prepare(job: Decoding, record: ImageRecord) -> PreparedImage:
    content = job.source.read(record.location)
    decoded = (
        decode_image(
            content,
            min_side_px=job.preprocessing.min_side_px,
            any_body_part=job.source.any_body_part,
            limits=job.limits,
        )
        if isinstance(content, bytes)
        else _take_array(content)
    )
    image = prepare_image(decoded.pixels, job.preprocessing)
    problems: list[str] = []
    lung_mask, lesion_mask = (
        _read_mask(job, location, decoded.pixels.shape, problems)
        for location in (record.lung_mask, record.lesion_mask)
    )
    return PreparedImage(
        image=image,
        fingerprint=compute_fingerprint(
            average_blocks(decoded.pixels, min_side_px=_FINGERPRINT_SOURCE_PX)
        ),
        facts=_compute_facts(decoded, content=content, image=image),
        lung_mask=lung_mask,
        lesion_mask=lesion_mask,
        mask_problem=" ".join(problems),
        notes=decoded.notes,
    )


def _take_array(levels: NDArray[np.uint8]) -> DecodedImage:
    if levels.ndim != 2 or levels.dtype != np.uint8 or not levels.size:
        raise ImageError("not-an-image", f"The image has shape {levels.shape} and {levels.dtype}.")
    if levels.min() == levels.max():
        raise ImageError("blank", "The image is blank: every pixel has the same grey level.")
    height, width = levels.shape
    pixels = np.divide(levels, 255, dtype=np.float32)
    return DecodedImage(pixels, width, height, "array", "L", levels.nbytes)


def _compute_facts(
    decoded: DecodedImage, *, content: bytes | NDArray[np.uint8], image: NDArray[np.uint8]
) -> FileFacts:
    stored = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    traces = measure_processing_traces(decoded.pixels)
    return FileFacts(
        file_width=decoded.width,
        file_height=decoded.height,
        file_format=decoded.format,
        file_mode=decoded.mode,
        file_bytes=decoded.size_bytes,
        border_grey=_compute_border_grey(decoded.pixels),
        flat_patch_share=traces.flat_patch_share,
        bandwidth_share=traces.bandwidth_share,
        block_edge_strength=traces.block_edge_strength,
        content_sha256=hashlib.sha256(stored).hexdigest(),
        pixels_sha256=hashlib.sha256(image.tobytes()).hexdigest(),
    )


def _compute_border_grey(pixels: NDArray[np.float32]) -> float:
    edge = max(1, round(min(pixels.shape) * _BORDER_SHARE))
    sides = (pixels[:edge], pixels[-edge:], pixels[edge:-edge, :edge], pixels[edge:-edge, -edge:])
    total = sum(float(side.sum(dtype=np.float64)) for side in sides)
    return round(total / sum(side.size for side in sides), 6)


def _read_mask(
    job: Decoding, location: str, image_shape: tuple[int, ...], problems: list[str]
) -> NDArray[np.uint8] | None:
    if not location:
        return None
    try:
        mask = decode_mask(job.source.read(location), limits=job.limits)
    except ImageError as error:
        problems.append(str(error))
        return None
    aspect, image_aspect = (shape[1] / shape[0] for shape in (mask.shape, image_shape))
    if abs(aspect / image_aspect - 1) > _ASPECT_TOLERANCE:
        problems.append("The mask has another shape than its image.")
        return None
    return prepare_mask(mask, job.preprocessing)


Task = tuple[int, ImageRecord]
"""Slot and record of an image."""

Outcome = tuple[int, PreparedImage | Rejection]
"""Slot of an image, and what became of it."""


@dataclass(frozen=True)
class Decoding(AbstractWork[Task, Outcome]):
    """Decoding the images of a source, wherever that is done.

    Attributes:
        source: Reads the images.
        preprocessing: The pipeline.
        limits: Memory and time that an image may take.
    """

    source: AbstractSource
    preprocessing: Preprocessing
    limits: DecodeLimits = DEFAULT_LIMITS

    def do(self, item: Task) -> Outcome:
        """Decode one image; see `decode_record`."""
        slot, record = item
        return slot, decode_record(self.source, record, self.preprocessing, self.limits)

    def give_up(self, item: Task) -> Outcome:
        """Reject an image that kills every process that decodes it."""
        slot, record = item
        return slot, reject(record, "decoder-crash", "The decoder crashed on this image.")

    def may_be_local(self, result: Outcome) -> bool:
        """Tell whether an image or its mask was left out for what the machine may lack."""
        _, outcome = result
        if isinstance(outcome, Rejection):
            return outcome.code in CODES_OF_THE_MACHINE
        return bool(outcome.mask_problem)
