"""The journal of decoding: one line a film, so that interrupted work goes on where it stopped.

A line is written after its film. The film's hash stands in it, so a film that did not reach the
disk, for whatever reason, is noticed and decoded again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxresnet.data.decode import FilmFacts
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.source import Rejection

__all__ = ["JournalEntry", "format_entry", "read_journal"]


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """What became of one film.

    Attributes:
        slot: Row in the film file of its folder.
        record: As scanned.
        facts: What the file was; None if the film was rejected.
        rejection: Why it was rejected; None if it was not.
        lung_mask_slot: Row in the file of lung masks; -1 if there is none.
        lesion_mask_slot: The same for lesion masks.
        mask_problem: Why a mask was left out; "" where none was.
    """

    slot: int
    record: ImageRecord
    facts: FilmFacts | None = None
    rejection: Rejection | None = None
    lung_mask_slot: int = -1
    lesion_mask_slot: int = -1
    mask_problem: str = ""


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
            "facts": FilmFacts(**facts) if facts else None,
            "rejection": Rejection(**rejection) if rejection else None,
        }
    )
