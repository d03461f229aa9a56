"""Decode and preprocess images in a pool of worker processes, each or the reason why not."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.child_processes import starting_safely
from cxresnet.core.errors import ImageError, explain_image_fault
from cxresnet.data.decode.block_mean import average_blocks
from cxresnet.data.decode.decoder import DecodedImage, decode_image, decode_mask
from cxresnet.data.decode.limits import DEFAULT_LIMITS, DecodeLimits
from cxresnet.data.decode.processing_traces import measure_processing_traces
from cxresnet.data.duplicates.fingerprint import compute_fingerprint
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.preprocessing import Preprocessing, prepare_image, prepare_mask
from cxresnet.data.sources.source import AbstractSource, Rejection

_logger = logging.getLogger(__name__)

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
        return _prepare(_Job(source, preprocessing, limits), record)
    except Exception as error:  # noqa: BLE001  one image must not end the work on all others
        fault = explain_image_fault(error)
        return reject(record, fault.code, str(fault))


def reject(record: ImageRecord, code: str, reason: str) -> Rejection:
    """Build the rejection of a record."""
    return Rejection(
        image_id=record.image_id, class_name=record.class_name, code=code, reason=reason
    )


@dataclass(frozen=True)
class _Job:
    """What all images of a source have in common."""

    source: AbstractSource
    preprocessing: Preprocessing
    limits: DecodeLimits


def _prepare(job: _Job, record: ImageRecord) -> PreparedImage:
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
    job: _Job, location: str, image_shape: tuple[int, ...], problems: list[str]
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


# Decoding on all cores, with bounded memory; an image that kills its process costs only itself.
#
# Workers are started afresh (`spawn`), not forked, because the parent may hold threads. They ignore
# Ctrl-C; the parent stops them.


Task = tuple[int, ImageRecord]
Outcome = tuple[int, PreparedImage | Rejection]

_CHUNK_IMAGES = 8
_CHUNKS_AHEAD = 3
_MIN_IMAGES_FOR_POOL = 256


def decode_records(
    source: AbstractSource,
    tasks: Sequence[Task],
    preprocessing: Preprocessing,
    *,
    workers: int = 0,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Generator[Outcome]:
    """Decode images, on several cores where that pays.

    Args:
        source: Reads the images; is pickled once a worker.
        tasks: Slot and record of each image.
        preprocessing: The pipeline.
        workers: Processes; 0 means one a core, 1 means this one.
        limits: Memory and time that an image may take.

    Yields:
        Slot and prepared image or rejection, every task once; at most a few dozen are in memory.
    """
    count = workers or os.cpu_count() or 1
    pool = _WorkerPool(_Job(source, preprocessing, limits), count=count)
    if count == 1 or len(tasks) < _MIN_IMAGES_FOR_POOL or not pool.start():
        for slot, record in tasks:
            yield slot, decode_record(source, record, preprocessing, limits)
        return
    waiting = deque(
        tasks[start : start + _CHUNK_IMAGES] for start in range(0, len(tasks), _CHUNK_IMAGES)
    )
    try:
        while waiting:
            yield from pool.work(waiting)
            yield from pool.work_isolated(pool.suspects)
    finally:
        pool.stop()


class _WorkerPool:
    """Starts worker processes as they are needed.

    Attributes:
        suspects: Tasks that were on their way when a worker died; one of them killed it.
    """

    def __init__(self, job: _Job, *, count: int) -> None:
        self._job = job
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        self.suspects: list[Task] = []

    def start(self) -> bool:
        """Start, and return whether a worker runs: none does in a script without a main guard."""
        self._pool = self._build_pool(self._count)
        try:
            return _submit(self._pool, ()).result() == []
        except BrokenProcessPool:
            _logger.warning("No worker process starts; decoding continues in this process alone.")
            self.stop()
            return False

    def stop(self) -> None:
        """Send everybody home; what was not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def work(self, waiting: deque[Sequence[Task]]) -> Iterator[Outcome]:
        """Decode waiting chunks until none is left or a worker dies; then see `suspects`."""
        self.suspects = []
        ahead: deque[tuple[Future[list[Outcome]], Sequence[Task]]] = deque()
        if self._pool is None:
            self._pool = self._build_pool(self._count)
        try:
            while waiting or ahead:
                while waiting and len(ahead) < self._count * _CHUNKS_AHEAD:
                    ahead.append((_submit(self._pool, waiting[0]), waiting[0]))
                    waiting.popleft()
                outcomes = ahead[0][0].result()
                ahead.popleft()
                yield from outcomes
        except BrokenProcessPool:
            self.suspects = [task for _, chunk in ahead for task in chunk]
            self.stop()

    def work_isolated(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Decode image by image in a process of its own; who kills it is rejected."""
        left = deque(tasks)
        while left:
            with self._build_pool(1) as pool:
                try:
                    while left:
                        yield from _submit(pool, (left[0],)).result()
                        left.popleft()
                except BrokenProcessPool:
                    slot, record = left.popleft()
                    yield (
                        slot,
                        reject(record, "decoder-crash", "The decoder crashed on this image."),
                    )

    def _build_pool(self, count: int) -> ProcessPoolExecutor:
        with starting_safely():
            return ProcessPoolExecutor(
                count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self._job,),
            )


def _submit(pool: ProcessPoolExecutor, tasks: Sequence[Task]) -> Future[list[Outcome]]:
    """Give a chunk to a pool, which may start a process for it."""
    with starting_safely():
        return pool.submit(_decode_chunk, tasks)


_worker_state: list[_Job] = []
"""What a worker process was started with; empty in the parent."""


def _start_worker(job: _Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker_state[:] = [job]


def _decode_chunk(tasks: Sequence[Task]) -> list[Outcome]:
    (job,) = _worker_state
    return [
        (slot, decode_record(job.source, record, job.preprocessing, job.limits))
        for slot, record in tasks
    ]
