"""Atomic writing and locks: a file is written completely or not at all.

It is written under a temporary name in the same folder, flushed to the disk, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from cxresnet.core.errors import RunFolderError, StorageError

_logger = logging.getLogger(__name__)

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def explain_storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's storage errors into one sentence with the way out.

    Args:
        path: What is being written; named in the message.

    Raises:
        StorageError: The disk is full, read-only, or the folder may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            message = (
                f"The disk is full; '{path}' was not written. "
                "Free some space or give another --out."
            )
        elif error.errno in _NOT_ALLOWED:
            message = f"'{path}' may not be written ({error.strerror}). Give another --out."
        else:
            message = f"'{path}' could not be written: {error.strerror or error}."
        raise StorageError(message) from error


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when all of it is on the disk.

    Args:
        path: The final place. Its folder is made if needed.

    Yields:
        A binary stream to write to.

    Raises:
        StorageError: The disk is full, read-only, or the folder may not be written; the old file,
            if there was one, stands as it was.
    """
    with explain_storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes whole or not at all; returns the path."""
    with atomic_write(path) as stream:
        stream.write(content)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text whole or not at all; returns the path."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> Path:
    """Write JSON (indented, keys in the given order, no NaN) whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file in UTF-8; raises `OSError` or as `parse_json`."""
    return parse_json(path.read_bytes())


def parse_json(content: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: It is none, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def compute_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Locks: one process at a time. The system releases a lock when its holder dies, in any way.


_NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_BRIEFLY_SECONDS = 0.2
"""How long a lock is tried for at least: its last holder may be taking the file away."""


@contextlib.contextmanager
def locked(path: Path, *, what: str, wait_seconds: float = 0) -> Iterator[bool]:
    """Hold a lock file while something is written; the same thread may hold it several times.

    A file that a killed process left behind holds nobody up: the lock is on the open file, not in
    its being there. File systems without locks are written without one, with a warning.

    Args:
        path: The lock file; made, and taken away at the end.
        what: What is being written, for the message.
        wait_seconds: How long to wait for another process to finish.

    Yields:
        Whether this thread did not hold it already.

    Raises:
        RunFolderError: Another process holds it.
        StorageError: The file cannot be made.
    """
    with explain_storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.parent.resolve() / path.name
        lock = FileLock(path, is_singleton=True)
        try:
            lock.acquire(timeout=max(wait_seconds, _BRIEFLY_SECONDS))
        except Timeout as error:
            raise RunFolderError(_describe_holder(path, what=what)) from error
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            _logger.warning(
                "The file system of '%s' has no locks: do not let two commands write %s at once.",
                path,
                what,
            )
    ours = _note_holder(path) if lock.lock_counter == 1 else None
    try:
        yield ours is not None
    finally:
        if ours is not None:
            _remove_lock_file(path, ours)
        lock.release()


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left of files that it was writing, in all subfolders.

    To be called where no other process writes: with the lock of the folder held.
    """
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _note_holder(path: Path) -> os.stat_result | None:
    """Write this process into a lock file; returns which file that was."""
    with contextlib.suppress(OSError):  # Windows lets nobody write into a locked file
        path.write_text(str(os.getpid()), encoding="ascii")
        return path.stat()
    return None


def _remove_lock_file(path: Path, ours: os.stat_result) -> None:
    """Remove our lock file, but not that of another process in a folder that replaced ours."""
    with contextlib.suppress(OSError):
        if os.path.samestat(path.stat(), ours):
            path.unlink()


def _describe_holder(path: Path, *, what: str) -> str:
    try:
        holder = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        holder = ""
    who = f" (process {holder})" if holder.isdigit() else ""
    return (
        f"Another command{who} is writing {what} at this moment. Wait until it is done, or "
        "give another --out."
    )
