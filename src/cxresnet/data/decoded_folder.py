"""A folder of decoded films that may be half done: what `prepare` works in before it finishes.

plan.json        what was asked for; work goes on only where it is the same
journal.jsonl    one line a film that is done, rejected ones among them
films.npy        one row a scanned film; fingerprints.npy likewise
lung_masks.npy   one row a scanned film that has one; lesion_masks.npy likewise
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxresnet.core.errors import DatasetError
from cxresnet.core.files import explain_storage_errors, read_json, write_json, write_text
from cxresnet.core.progress import track
from cxresnet.data.decode import PreparedFilm
from cxresnet.data.decode_pool import Outcome, decode_records
from cxresnet.data.duplicates.fingerprint import FINGERPRINT_SIDE_PX
from cxresnet.data.film_file import FilmFile, create_film_file, open_film_file, write_all
from cxresnet.data.journal import JournalEntry, format_entry, read_journal
from cxresnet.data.preprocess import Preprocessing
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import AbstractSource

__all__ = ["DecodedFolder", "DecodedKind", "compute_decoded_bytes", "decode_into"]

DecodedKind = Literal["films", "fingerprints", "lung_masks", "lesion_masks"]

_FORMAT = 1
_FILE_NAMES = ("films.npy", "fingerprints.npy", "lung_masks.npy", "lesion_masks.npy")


@dataclass(frozen=True)
class DecodedFolder:
    """A folder whose films are all decoded or rejected.

    Attributes:
        path: The folder.
        entries: One a scanned film, in the order of the scan.
    """

    path: Path
    entries: tuple[JournalEntry, ...]

    def has(self, kind: DecodedKind) -> bool:
        """Tell whether there are pictures of a kind."""
        return (self.path / f"{kind}.npy").is_file()

    def open(self, kind: DecodedKind) -> FilmFile:
        """Open the pictures of one kind for reading."""
        return open_film_file(self.path / f"{kind}.npy")

    @staticmethod
    def read(path: Path) -> DecodedFolder:
        """Read a folder that `decode_into` finished.

        Raises:
            DatasetError: The folder is none, or decoding was not finished.
        """
        entries = tuple(sorted(read_journal(path / "journal.jsonl"), key=lambda entry: entry.slot))
        plan = path / "plan.json"
        if not plan.is_file() or len(entries) != read_json(plan)["films"]:
            raise DatasetError(
                f"'{path}' does not hold all its decoded films. "
                "Run the same 'cxresnet prepare' again; it goes on where it stopped."
            )
        return DecodedFolder(path, entries)


def compute_decoded_bytes(records: Sequence[ImageRecord], preprocessing: Preprocessing) -> int:
    """Compute how much space films and masks take."""
    films = sum(1 + bool(record.lung_mask) + bool(record.lesion_mask) for record in records)
    return films * preprocessing.side_px**2 + len(records) * FINGERPRINT_SIDE_PX**2


def decode_into(
    path: Path,
    source: AbstractSource,
    records: Sequence[ImageRecord],
    preprocessing: Preprocessing,
    *,
    workers: int = 0,
) -> DecodedFolder:
    """Decode films into a folder, going on where earlier work on the same films stopped.

    Args:
        path: The folder; made if it is not there, emptied if it is of other work.
        source: Reads the films.
        records: What to decode.
        preprocessing: The road.
        workers: See `decode_records`.

    Returns:
        The folder, every film decoded or rejected.

    Raises:
        StorageError: The disk is full or read-only; what was decoded stands.
    """
    with contextlib.ExitStack() as open_files:
        bench = _Bench(path, records, preprocessing, open_files)
        todo = [(slot, record) for slot, record in enumerate(records) if slot not in bench.done]
        outcomes = decode_records(source, todo, preprocessing, workers=workers)
        with contextlib.closing(outcomes):
            for outcome in _track_from(outcomes, done=len(bench.done), total=len(records)):
                bench.keep(outcome)
    return DecodedFolder.read(path)


def _track_from(outcomes: Iterator[Outcome], *, done: int, total: int) -> Iterator[Outcome]:
    label = f"Decoding films ({done} done before)" if done else "Decoding films"
    return track(outcomes, label, total=total - done)


class _Bench:
    """An open folder with its journal, ready to take films.

    Attributes:
        done: Slots of films that need no decoding again.
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
            "films": len(records),
            "preprocessing": preprocessing.model_dump(mode="json"),
            "records_sha256": _compute_records_hash(records),
        }
        if not _is_same_work(path, plan):
            counts = (len(records), len(records), *(len(slots) for slots in self._mask_slots))
            _start_work(path, plan, counts=counts, side_px=preprocessing.side_px)
        self._files = [
            open_files.enter_context(open_film_file(path / name, writable=True))
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
        """Write a film with its masks, then its line in the journal."""
        slot, result = outcome
        record = self._records[slot]
        if isinstance(result, PreparedFilm):
            entry = self._write(slot, record, result)
        else:
            entry = JournalEntry(slot=slot, record=record, rejection=result)
        with explain_storage_errors(self._path):
            write_all(self._journal, format_entry(entry).encode("ascii"))

    def _write(self, slot: int, record: ImageRecord, result: PreparedFilm) -> JournalEntry:
        masks = (result.lung_mask, result.lesion_mask)
        lung_slot, lesion_slot = (
            -1 if mask is None else slots[slot]
            for mask, slots in zip(masks, self._mask_slots, strict=True)
        )
        rows = (slot, slot, lung_slot, lesion_slot)
        fingerprint = result.fingerprint.reshape(FINGERPRINT_SIDE_PX, FINGERPRINT_SIDE_PX)
        pictures = (result.film, fingerprint, *masks)
        for file, row, picture in zip(self._files, rows, pictures, strict=True):
            if file is not None and picture is not None:
                file.write(row, picture)
        return JournalEntry(
            slot=slot,
            record=record,
            facts=result.facts,
            lung_mask_slot=lung_slot,
            lesion_mask_slot=lesion_slot,
            mask_problem=result.mask_problem,
        )

    def _holds(self, entry: JournalEntry) -> bool:
        """Tell whether the film of an entry really is in the file."""
        if entry.facts is None or self._files[0] is None:
            return entry.rejection is not None
        film = self._files[0].read(entry.slot, entry.slot + 1)
        return hashlib.sha256(film.tobytes()).hexdigest() == entry.facts.film_sha256


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
        for name in ("plan.json", "journal.jsonl", *_FILE_NAMES):
            (path / name).unlink(missing_ok=True)
    for name, count in zip(_FILE_NAMES, counts, strict=True):
        if count:
            side = FINGERPRINT_SIDE_PX if name == "fingerprints.npy" else side_px
            create_film_file(path / name, count=count, side_px=side).close()
    write_json(path / "plan.json", plan)
