"""The held-out test set and its access log: every access is recorded, and records cannot be edited.

Each row of `test_access_log.csv` holds when, why, for which run and network and under which config
the test set was accessed, and the hash of the row before it. Changing or removing a row breaks the
chain. Rows cut off at the end leave a valid chain, so `evaluate` also compares the log with what
the run recorded. Someone who rewrites the log and all runs, hash by hash, is not detected.

When a dataset is prepared again, accesses to the same images must not be forgotten, but accesses to
other images are irrelevant. The content of the files decides, because the hash of the dataset also
changes with the preprocessing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from cxresnet import __version__
from cxresnet.core.errors import DatasetError
from cxresnet.core.files import explain_storage_errors, locked
from cxresnet.core.printable import make_printable
from cxresnet.data.dataset.dataset_record import ACCESS_LOG_NAME, MANIFEST_NAME
from cxresnet.data.manifest import read_safe_csv, write_safe_csv

_logger = logging.getLogger(__name__)

_FIRST = "0" * 64
_WAIT_SECONDS = 60.0

_EARLIER_NAME = "test_openings.csv"
_EARLIER_COLUMNS = {"opened_utc": "accessed_utc"}
"""What version 0.1 called the access log and its columns; the hashes are over values alone."""


@dataclass(frozen=True, kw_only=True)
class AccessRequest:
    """Who wants to access the test set.

    Attributes:
        reason: Why; not empty.
        run: Name of the run that needs it; not empty.
        network: SHA-256 of the weights of that run; names can be reused, weights cannot.
        config: SHA-256 of the config in force; not empty.
    """

    reason: str
    run: str
    network: str
    config: str


@dataclass(frozen=True, kw_only=True)
class AccessRecord:
    """One access to the test set: a row of the access log.

    Attributes:
        number: 1 and up.
        accessed_utc: ISO 8601, to the second.
        reason: Given in the request.
        run: Name of the run that needed it.
        network: SHA-256 of that run's weights.
        config: SHA-256 of the config that was in force.
        version: Of this package.
        dataset_hash: Of the dataset.
        previous_hash: `row_hash` of the row before; zeros in the first.
        row_hash: SHA-256 over everything else in the row.
    """

    number: int
    accessed_utc: str
    reason: str
    run: str
    network: str
    config: str
    version: str
    dataset_hash: str
    previous_hash: str
    row_hash: str


_COLUMNS = [field.name for field in fields(AccessRecord)]


def start_access_log(path: Path) -> Path:
    """Write an access log without accesses; returns its path."""
    return _write(path, ())


def log_access(path: Path, access_request: AccessRequest, *, dataset_hash: str) -> AccessRecord:
    """Record an access to the test set.

    Args:
        path: The access log.
        access_request: Who accesses it, and why.
        dataset_hash: Of the dataset.

    Returns:
        The new row.

    Raises:
        DatasetError: The access log is missing or its chain is broken.
        RunFolderError: Another process holds the access log for a minute.
        StorageError: The access log cannot be written; then the test set must stay closed.
    """
    with hold_access_log(path.parent):
        return _add_access(path, access_request, dataset_hash=dataset_hash)


@contextlib.contextmanager
def hold_access_log(dataset: Path) -> Iterator[None]:
    """Keep other processes from the access log of a dataset, so that none of its rows is lost.

    Raises:
        DatasetError: There is no such folder; one that is made here would hide what was replaced.
        RunFolderError: Another process holds it for a minute.
        StorageError: The folder cannot be written.
    """
    if not dataset.is_dir():
        raise DatasetError(
            f"The dataset '{dataset}' was removed or replaced meanwhile, so the access to its test "
            "set cannot be recorded. Repeat the command."
        )
    lock = dataset / f".{ACCESS_LOG_NAME}.lock"
    what = f"the test access log of '{dataset}'"
    with locked(lock, what=what, wait_seconds=_WAIT_SECONDS):
        yield


def _add_access(path: Path, access_request: AccessRequest, *, dataset_hash: str) -> AccessRecord:
    """Read the log, and write it with one row more, flushed to the disk, in place of the old."""
    accesses = read_access_log(path)
    for problem in find_broken_links(accesses)[:1]:
        raise DatasetError(f"The test access log was altered: {problem} Prepare again.")
    access = AccessRecord(
        number=len(accesses) + 1,
        accessed_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=_clean(access_request.reason),
        run=_clean(access_request.run),
        network=_clean(access_request.network),
        config=_clean(access_request.config),
        version=__version__,
        dataset_hash=dataset_hash,
        previous_hash=accesses[-1].row_hash if accesses else _FIRST,
        row_hash="",
    )
    access = replace(access, row_hash=_compute_hash(access))
    _write(path, (*accesses, access))
    return access


def read_access_log(path: Path) -> tuple[AccessRecord, ...]:
    """Read all accesses, without checking their chain.

    Raises:
        DatasetError: The access log is missing or is another table.
    """
    try:
        names, columns = read_safe_csv(path)
        names = [_EARLIER_COLUMNS.get(name, name) for name in names]
        _require_columns(names)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return tuple(_parse(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"The test access log '{path}' is missing or cannot be read, so it is not known how "
            "often the test set was accessed. Restore it, or prepare the dataset again."
        ) from error


def _require_columns(names: Sequence[str]) -> None:
    """Refuse another table: one without rows would pass for a test set never accessed."""
    if list(names) != _COLUMNS:
        raise ValueError(f"its columns are {', '.join(names)}")


def find_broken_links(accesses: Sequence[AccessRecord]) -> list[str]:
    """Describe where the chain of an access log is broken; empty if it is intact."""
    problems = []
    previous = _FIRST
    for number, access in enumerate(accesses, start=1):
        if access.number != number or access.previous_hash != previous:
            problems.append(f"Row {number} does not follow the row before it.")
        if access.row_hash != _compute_hash(access):
            problems.append(f"Row {number} was changed after it was written.")
        previous = access.row_hash
    return problems


def _clean(text: str) -> str:
    """Keep a text in one line of a table."""
    return make_printable(" ".join(text.split()))


def _compute_hash(access: AccessRecord) -> str:
    text = "\x1f".join(str(value) for value in astuple(replace(access, row_hash="")))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _parse(row: dict[str, str]) -> AccessRecord:
    texts = {name: value for name, value in row.items() if name != "number"}
    return AccessRecord(number=int(row["number"]), **texts)


def _write(path: Path, accesses: Sequence[AccessRecord]) -> Path:
    return write_safe_csv(path, _COLUMNS, (astuple(access) for access in accesses))


def carry_over_access_log(old: Path, fresh: Path) -> None:
    """Carry the access log of a dataset into the one that replaces it, if they share test images.

    What was done is logged. An access log or manifest that cannot be read is no reason to forget:
    the log is then carried over as it is, and `verify` reports what is wrong with it.

    Args:
        old: The dataset that will be replaced, perhaps of version 0.1; it need not exist.
        fresh: The new dataset, whole, with an empty access log.

    Raises:
        StorageError: The access log cannot be written.
    """
    old_log = _find_access_log(old)
    if old_log is None:
        return
    try:
        accesses = read_access_log(old_log)
        before, now = (_read_test_images(path) for path in (old, fresh))
    except DatasetError:
        with explain_storage_errors(fresh):
            shutil.copyfile(old_log, fresh / ACCESS_LOG_NAME)
        _logger.warning("The earlier test access log is kept as it is.")
        return
    if not accesses:
        return
    same = len(before & now)
    if not same:
        _logger.warning(
            "The dataset that was here is replaced; its test set had been accessed (%d). The new "
            "test set has none of its images, so its access log begins empty.",
            len(accesses),
        )
        return
    _write(fresh / ACCESS_LOG_NAME, accesses)
    _logger.warning(
        "The test set that was here had been accessed (%d), and %d of the %d images of the new one "
        "were in it: the accesses stay in %s and are counted.",
        len(accesses),
        same,
        len(now),
        ACCESS_LOG_NAME,
    )


def _find_access_log(path: Path) -> Path | None:
    candidates = (path / name for name in (ACCESS_LOG_NAME, _EARLIER_NAME))
    return next((one for one in candidates if one.is_file()), None)


def _read_test_images(path: Path) -> set[str]:
    """Read the content hashes of the test images, from the manifest of any version."""
    try:
        names, columns = read_safe_csv(path / MANIFEST_NAME)
        table = dict(zip(names, columns, strict=True))
        rows = zip(table["split"], table["content_sha256"], strict=True)
        return {content for split, content in rows if split == "test"}
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"The manifest of '{path}' cannot be read: {error}.") from error
