"""The seal of the test split: whoever opens it is written down, and the writing cannot be undone.

Each row of `test_openings.csv` says when, why, for which run and network and under which config it
was opened, and holds the hash of the row before it. Changing or taking out a row breaks the chain.
Rows cut off at the end leave a whole chain: `evaluate` compares it with what the run remembers of
it. Who writes ledger and runs anew, hash by hash, is not found out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from cxresnet import __version__
from cxresnet.core.errors import DatasetError
from cxresnet.data.safe_csv import make_printable, read_safe_csv, write_safe_csv

__all__ = [
    "Opener",
    "Opening",
    "find_broken_links",
    "log_opening",
    "read_ledger",
    "start_ledger",
]

_FIRST = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Opener:
    """Who wants to open the test split.

    Attributes:
        reason: Why; not empty.
        run: Name of the run that it is opened for; not empty.
        network: SHA-256 of the weights of that run; names can be used again, weights cannot.
        config: SHA-256 of the config that is in force; not empty.
    """

    reason: str
    run: str
    network: str
    config: str


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening of the test split: a row of the ledger.

    Attributes:
        number: 1 and up.
        opened_utc: ISO 8601, to the second.
        reason: Given by who opened it.
        run: Name of the run that it was opened for.
        network: SHA-256 of that run's weights.
        config: SHA-256 of the config that was in force.
        version: Of this package.
        dataset_hash: Of the dataset that was opened.
        previous_hash: `row_hash` of the row before; zeros in the first.
        row_hash: SHA-256 over everything else in the row.
    """

    number: int
    opened_utc: str
    reason: str
    run: str
    network: str
    config: str
    version: str
    dataset_hash: str
    previous_hash: str
    row_hash: str


_COLUMNS = [field.name for field in fields(Opening)]


def start_ledger(path: Path) -> Path:
    """Write a ledger without openings; returns its path."""
    return _write(path, ())


def log_opening(path: Path, opener: Opener, *, dataset_hash: str) -> Opening:
    """Write down that the test split is being opened.

    Args:
        path: The ledger.
        opener: Who opens it, and why.
        dataset_hash: Of the dataset.

    Returns:
        The new row.

    Raises:
        DatasetError: The ledger is gone or its chain is broken.
        StorageError: The ledger cannot be written; then the split must stay shut.
    """
    openings = read_ledger(path)
    for problem in find_broken_links(openings)[:1]:
        raise DatasetError(f"The ledger of test openings was altered: {problem} Prepare again.")
    opening = Opening(
        number=len(openings) + 1,
        opened_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=_clean(opener.reason),
        run=_clean(opener.run),
        network=_clean(opener.network),
        config=_clean(opener.config),
        version=__version__,
        dataset_hash=dataset_hash,
        previous_hash=openings[-1].row_hash if openings else _FIRST,
        row_hash="",
    )
    opening = replace(opening, row_hash=_compute_hash(opening))
    _write(path, (*openings, opening))
    return opening


def read_ledger(path: Path) -> tuple[Opening, ...]:
    """Read all openings, without judging them.

    Raises:
        DatasetError: The ledger is gone or is no table of openings.
    """
    try:
        names, columns = read_safe_csv(path)
        _require_columns(names)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return tuple(_parse(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"The ledger of test openings '{path}' is gone or cannot be read, so nobody knows how "
            "often the test split was opened. Put it back, or prepare the dataset again."
        ) from error


def _require_columns(names: Sequence[str]) -> None:
    """Refuse another table: one without rows would pass for a test that was never opened."""
    if list(names) != _COLUMNS:
        raise ValueError(f"its columns are {', '.join(names)}")


def find_broken_links(openings: Sequence[Opening]) -> list[str]:
    """Say where the chain of a ledger is broken; empty if it holds."""
    problems = []
    previous = _FIRST
    for number, opening in enumerate(openings, start=1):
        if opening.number != number or opening.previous_hash != previous:
            problems.append(f"Row {number} does not follow the row before it.")
        if opening.row_hash != _compute_hash(opening):
            problems.append(f"Row {number} was changed after it was written.")
        previous = opening.row_hash
    return problems


def _clean(text: str) -> str:
    """Keep a text in one line of a table."""
    return make_printable(" ".join(text.split()))


def _compute_hash(opening: Opening) -> str:
    text = "\x1f".join(str(value) for value in astuple(replace(opening, row_hash="")))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _parse(row: dict[str, str]) -> Opening:
    texts = {name: value for name, value in row.items() if name != "number"}
    return Opening(number=int(row["number"]), **texts)


def _write(path: Path, openings: Sequence[Opening]) -> Path:
    return write_safe_csv(path, _COLUMNS, (astuple(opening) for opening in openings))
