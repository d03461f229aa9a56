"""Decoded films of one or several folders, in one order, and what became of all others."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import ClassMapError, EmptySourceError
from cxresnet.data.decode import FilmFacts
from cxresnet.data.decoded_folder import DecodedFolder, DecodedKind
from cxresnet.data.film_file import FilmFile, create_film_file
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import Rejection

__all__ = [
    "FilmPlace",
    "gather_films",
    "gather_rejections",
    "require_classes",
    "write_pictures",
]


@dataclass(frozen=True)
class FilmPlace:
    """A decoded film and where its pictures lie.

    Attributes:
        folder: Index of its folder.
        rows: Its row in the folder's file of each kind; -1 where it has none.
        record: As scanned.
        facts: What its file was.
        mask_problem: Why a mask was left out; "" where none was.
    """

    folder: int
    rows: dict[DecodedKind, int]
    record: ImageRecord
    facts: FilmFacts
    mask_problem: str


def gather_films(folders: Sequence[DecodedFolder]) -> list[FilmPlace]:
    """List the decoded films of all folders, sorted by `image_id`: sharding changes nothing."""
    places = [
        FilmPlace(
            folder=number,
            rows={
                "films": entry.slot,
                "fingerprints": entry.slot,
                "lung_masks": entry.lung_mask_slot,
                "lesion_masks": entry.lesion_mask_slot,
            },
            record=entry.record,
            facts=entry.facts,
            mask_problem=entry.mask_problem,
        )
        for number, folder in enumerate(folders)
        for entry in folder.entries
        if entry.facts is not None
    ]
    return sorted(places, key=lambda place: place.record.image_id)


def gather_rejections(
    scanned: Sequence[Rejection], folders: Sequence[DecodedFolder]
) -> list[Rejection]:
    """List what was rejected while scanning and while decoding, sorted by `image_id`."""
    decoded = (entry.rejection for folder in folders for entry in folder.entries)
    found = [*scanned, *(rejection for rejection in decoded if rejection is not None)]
    return sorted(found, key=lambda rejection: (rejection.image_id, rejection.code))


def require_classes(
    classes: Sequence[str], rejections: Sequence[Rejection], *, outside: bool
) -> None:
    """Refuse to go on with nothing to tell apart.

    Args:
        classes: Of the films that are left.
        rejections: Of those that are not.
        outside: Networks trained elsewhere are judged on the films: one class is enough.

    Raises:
        EmptySourceError: No film is left; says what most were rejected for.
        ClassMapError: All films that are left are of one class.
    """
    if not classes:
        reasons = Counter(rejection.reason for rejection in rejections).most_common(1)
        why = f" Most often: {reasons[0][0]}" if reasons else " Give a folder with films."
        raise EmptySourceError(f"No usable film is left; {len(rejections)} were rejected.{why}")
    if len(set(classes)) == 1 and not outside:
        raise ClassMapError(
            f"All {len(classes)} usable films are '{classes[0]}'; telling classes apart needs at "
            "least two. Join another source, say with --classes which folder means what, or "
            "prepare them with --outside to judge a network that was trained elsewhere."
        )


def write_pictures(
    path: Path,
    kind: DecodedKind,
    places: Sequence[FilmPlace],
    folders: Sequence[DecodedFolder],
) -> NDArray[np.int64]:
    """Write the pictures of one kind in the order of `places`, one film in memory at a time.

    Args:
        path: The `.npy`; not written if no film has such a picture.
        kind: Films, fingerprints or masks.
        places: The films of the dataset, in its order.
        folders: Where they lie.

    Returns:
        (films,), row in the new file of each film; -1 for a film without such a picture.

    Raises:
        StorageError: The disk is full.
    """
    there = [place.rows[kind] >= 0 for place in places]
    rows = np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
    if not any(there):
        return rows
    with contextlib.ExitStack() as stack:
        files = _open_all(kind, places, folders, stack)
        side = next(iter(files.values())).side_px
        out = stack.enter_context(create_film_file(path, count=sum(there), side_px=side))
        for place, row in zip(places, rows.tolist(), strict=True):
            if row >= 0:
                start = place.rows[kind]
                out.write(row, files[place.folder].read(start, start + 1)[0])
    return rows


def _open_all(
    kind: DecodedKind,
    places: Sequence[FilmPlace],
    folders: Sequence[DecodedFolder],
    stack: contextlib.ExitStack,
) -> dict[int, FilmFile]:
    needed = sorted({place.folder for place in places if place.rows[kind] >= 0})
    return {number: stack.enter_context(folders[number].open(kind)) for number in needed}
