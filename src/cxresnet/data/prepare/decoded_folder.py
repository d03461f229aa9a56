"""The working directory of `prepare`: decoded images, perhaps not all of them yet.

plan.json        what is to be done; work is continued only if it is the same
journal.jsonl    one line for each image that is done, also for rejected ones
images.npy       one row a scanned image; fingerprints.npy likewise
lung_masks.npy   one row a scanned image that has one; lesion_masks.npy likewise
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import DatasetError
from cxresnet.core.executor import AbstractExecutor
from cxresnet.core.files import explain_storage_errors, read_json, write_json, write_text
from cxresnet.core.progress import track
from cxresnet.data.decode.record import Decoding, FileFacts, Outcome, PreparedImage
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.data.prepare.store import (
    ImageArrayFile,
    create_image_array,
    open_image_array,
    write_all,
)
from cxresnet.data.sources.source import Rejection

# The journal of decoding has one line for each image, so that interrupted work can be continued. A
# line is written after its image and holds its hash, so an image that did not reach the disk, for
# whatever reason, is noticed and decoded again.


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """The result for one image.

    Attributes:
        slot: Row in the image file of its folder.
        record: As scanned.
        facts: What the file was; None if the image was rejected.
        rejection: Why it was rejected; None if it was not.
        lung_mask_slot: Row in the file of lung masks; -1 if there is none.
        lesion_mask_slot: The same for lesion masks.
        mask_problem: Why a mask was left out; "" where none was.
        notes: What the decoder had to say of the image.
    """

    slot: int
    record: ImageRecord
    facts: FileFacts | None = None
    rejection: Rejection | None = None
    lung_mask_slot: int = -1
    lesion_mask_slot: int = -1
    mask_problem: str = ""
    notes: tuple[str, ...] = ()


def format_entry(entry: JournalEntry) -> str:
    """Write an entry as one line of JSON, its end included; every name survives, valid or not."""
    return json.dumps(dataclasses.asdict(entry), ensure_ascii=True) + "\n"


def read_journal(path: Path) -> Iterator[JournalEntry]:
    """Read entries up to the first line that is torn or that another version wrote."""
    if not path.is_file():
        return
    with path.open(encoding="ascii", errors="replace") as stream:
        for line in stream:
            try:
                yield _parse(json.loads(line))
            except (ValueError, TypeError):
                return


def _parse(fields: dict[str, Any]) -> JournalEntry:
    facts, rejection = fields["facts"], fields["rejection"]
    return JournalEntry(
        **fields
        | {
            "record": ImageRecord(**fields["record"]),
            "facts": FileFacts(**facts) if facts else None,
            "rejection": Rejection(**rejection) if rejection else None,
            "notes": tuple(fields.get("notes", ())),
        }
    )


DecodedKind = Literal["images", "fingerprints", "lung_masks", "lesion_masks"]

_FORMAT = 2
"""1: version 0.1, whose work is not continued but begun again."""

_FILE_NAMES = ("images.npy", "fingerprints.npy", "lung_masks.npy", "lesion_masks.npy")
_EARLIER_FILE_NAMES = ("films.npy",)


@dataclass(frozen=True)
class DecodedFolder:
    """A folder whose images are all decoded or rejected.

    Attributes:
        path: The folder.
        entries: One a scanned image, in the order of the scan.
    """

    path: Path
    entries: tuple[JournalEntry, ...]

    def has(self, kind: DecodedKind) -> bool:
        """Tell whether there are pictures of a kind."""
        return (self.path / f"{kind}.npy").is_file()

    def open(self, kind: DecodedKind) -> ImageArrayFile:
        """Open the pictures of one kind for reading."""
        return open_image_array(self.path / f"{kind}.npy")

    @staticmethod
    def read(path: Path) -> DecodedFolder:
        """Read a folder that `decode_into` finished.

        Raises:
            DatasetError: It is not such a folder, or decoding was not finished.
        """
        entries = tuple(sorted(read_journal(path / "journal.jsonl"), key=lambda entry: entry.slot))
        plan = path / "plan.json"
        if not plan.is_file() or len(entries) != read_json(plan).get("images"):
            raise DatasetError(
                f"'{path}' does not hold all its decoded images. "
                "Run the same 'cxresnet prepare' again; it continues where it stopped."
            )
        return DecodedFolder(path, entries)


def compute_decoded_bytes(records: Sequence[ImageRecord], preprocessing: Preprocessing) -> int:
    """Compute how much space images and masks take."""
    images = sum(1 + bool(record.lung_mask) + bool(record.lesion_mask) for record in records)
    return images * preprocessing.side_px**2 + len(records) * FINGERPRINT_SIDE_PX**2


def decode_into(
    path: Path,
    decoding: Decoding,
    records: Sequence[ImageRecord],
    *,
    executor: AbstractExecutor,
) -> DecodedFolder:
    """Decode images into a folder, continuing earlier work on the same images.

    Args:
        path: The folder; made if it is not there, emptied if it is of other work.
        decoding: How the images are read, decoded and prepared.
        records: What to decode.
        executor: Where.

    Returns:
        The folder, every image decoded or rejected.

    Raises:
        StorageError: The disk is full or read-only; what was decoded stands.
    """
    with contextlib.ExitStack() as open_files:
        writer = _DecodedWriter(path, records, decoding.preprocessing, open_files)
        todo = [(slot, record) for slot, record in enumerate(records) if slot not in writer.done]
        outcomes = executor.run(decoding, todo)
        with contextlib.closing(outcomes):
            for outcome in _track_from(outcomes, done=len(writer.done), total=len(records)):
                writer.keep(outcome)
    return DecodedFolder.read(path)


def _track_from(outcomes: Iterator[Outcome], *, done: int, total: int) -> Iterator[Outcome]:
    label = f"Decoding images ({done} done before)" if done else "Decoding images"
    return track(outcomes, label, total=total - done)


class _DecodedWriter:
    """An open folder with its journal, ready to take images.

    Attributes:
        done: Slots of images that need no decoding again.
    """

    def __init__(
        self,
        path: Path,
        records: Sequence[ImageRecord],
        preprocessing: Preprocessing,
        open_files: contextlib.ExitStack,
    ) -> None:
        self._records = records
        self._mask_slots = (
            _number([record.lung_mask for record in records]),
            _number([record.lesion_mask for record in records]),
        )
        plan = {
            "format": _FORMAT,
            "images": len(records),
            "preprocessing": preprocessing.model_dump(mode="json"),
            "records_sha256": _compute_records_hash(records),
        }
        if not _is_same_work(path, plan):
            counts = (len(records), len(records), *(len(slots) for slots in self._mask_slots))
            _start_work(path, plan, counts=counts, side_px=preprocessing.side_px)
        self._files = [
            open_files.enter_context(open_image_array(path / name, writable=True))
            if (path / name).is_file()
            else None
            for name in _FILE_NAMES
        ]
        entries = [entry for entry in read_journal(path / "journal.jsonl") if self._holds(entry)]
        self.done = {entry.slot for entry in entries}
        with explain_storage_errors(path):
            write_text(path / "journal.jsonl", "".join(format_entry(entry) for entry in entries))
            journal = (path / "journal.jsonl").open("ab", buffering=0)
        self._journal = open_files.enter_context(journal)
        self._path = path

    def keep(self, outcome: Outcome) -> None:
        """Write an image with its masks, then its line in the journal."""
        slot, result = outcome
        record = self._records[slot]
        if isinstance(result, PreparedImage):
            entry = self._write(slot, record, result)
        else:
            entry = JournalEntry(slot=slot, record=record, rejection=result)
        with explain_storage_errors(self._path):
            write_all(self._journal, format_entry(entry).encode("ascii"))

    def _write(self, slot: int, record: ImageRecord, result: PreparedImage) -> JournalEntry:
        masks = (result.lung_mask, result.lesion_mask)
        lung_slot, lesion_slot = (
            -1 if mask is None else slots[slot]
            for mask, slots in zip(masks, self._mask_slots, strict=True)
        )
        rows = (slot, slot, lung_slot, lesion_slot)
        fingerprint = result.fingerprint.reshape(FINGERPRINT_SIDE_PX, FINGERPRINT_SIDE_PX)
        arrays = (result.image, fingerprint, *masks)
        for file, row, array in zip(self._files, rows, arrays, strict=True):
            if file is not None and array is not None:
                file.write(row, array)
        return JournalEntry(
            slot=slot,
            record=record,
            facts=result.facts,
            lung_mask_slot=lung_slot,
            lesion_mask_slot=lesion_slot,
            mask_problem=result.mask_problem,
            notes=result.notes,
        )

    def _holds(self, entry: JournalEntry) -> bool:
        """Tell whether the image of an entry really is in the file."""
        if entry.facts is None or self._files[0] is None:
            return entry.rejection is not None
        image = self._files[0].read(entry.slot, entry.slot + 1)
        return hashlib.sha256(image.tobytes()).hexdigest() == entry.facts.pixels_sha256


def _number(locations: Sequence[str]) -> dict[int, int]:
    """Number the records that have a mask: from slot to row of the mask file."""
    there = [slot for slot, location in enumerate(locations) if location]
    return {slot: row for row, slot in enumerate(there)}


def _compute_records_hash(records: Sequence[ImageRecord]) -> str:
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(dataclasses.astuple(record)).encode("ascii"))
    return digest.hexdigest()


def _is_same_work(path: Path, plan: dict[str, object]) -> bool:
    try:
        return bool(read_json(path / "plan.json") == plan)
    except (OSError, ValueError):
        return False


def _start_work(
    path: Path, plan: dict[str, object], *, counts: Sequence[int], side_px: int
) -> None:
    with explain_storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        for name in ("plan.json", "journal.jsonl", *_FILE_NAMES, *_EARLIER_FILE_NAMES):
            (path / name).unlink(missing_ok=True)
    for name, count in zip(_FILE_NAMES, counts, strict=True):
        if count:
            side = FINGERPRINT_SIDE_PX if name == "fingerprints.npy" else side_px
            create_image_array(path / name, count=count, side_px=side).close()
    write_json(path / "plan.json", plan)


# Decoded images in one order, and everything that was rejected.


@dataclass(frozen=True)
class StoredImage:
    """A decoded image and where its pictures lie.

    Attributes:
        rows: Its row in the file of each kind; -1 where it has none.
        record: As scanned.
        facts: What its file was.
        mask_problem: Why a mask was left out; "" where none was.
        notes: What the decoder had to say of the image.
    """

    rows: dict[DecodedKind, int]
    record: ImageRecord
    facts: FileFacts
    mask_problem: str
    notes: tuple[str, ...] = ()


def gather_images(folder: DecodedFolder) -> list[StoredImage]:
    """List the decoded images of a folder, sorted by `image_id`."""
    places = [
        StoredImage(
            rows={
                "images": entry.slot,
                "fingerprints": entry.slot,
                "lung_masks": entry.lung_mask_slot,
                "lesion_masks": entry.lesion_mask_slot,
            },
            record=entry.record,
            facts=entry.facts,
            mask_problem=entry.mask_problem,
            notes=entry.notes,
        )
        for entry in folder.entries
        if entry.facts is not None
    ]
    return sorted(places, key=lambda place: place.record.image_id)


def gather_rejections(scanned: Sequence[Rejection], folder: DecodedFolder) -> list[Rejection]:
    """List what was rejected while scanning and while decoding, sorted by `image_id`."""
    decoded = (entry.rejection for entry in folder.entries)
    found = [*scanned, *(rejection for rejection in decoded if rejection is not None)]
    return sorted(found, key=lambda rejection: (rejection.image_id, rejection.code))


def write_image_arrays(
    path: Path,
    kind: DecodedKind,
    places: Sequence[StoredImage],
    folder: DecodedFolder,
) -> NDArray[np.int64]:
    """Write the pictures of one kind in the order of `places`, one image in memory at a time.

    Args:
        path: The `.npy`; not written if no image has such a picture.
        kind: Images, fingerprints or masks.
        places: The images of the dataset, in its order.
        folder: Where they lie.

    Returns:
        (images,), row in the new file of each image; -1 for an image without such a picture.

    Raises:
        StorageError: The disk is full.
    """
    there = [place.rows[kind] >= 0 for place in places]
    rows = np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
    if not any(there):
        return rows
    with (
        folder.open(kind) as file,
        create_image_array(path, count=sum(there), side_px=file.side_px) as out,
    ):
        for place, row in zip(places, rows.tolist(), strict=True):
            if row >= 0:
                start = place.rows[kind]
                out.write(row, file.read(start, start + 1)[0])
    return rows
