"""Files are written whole or not at all.

A file is written under a temporary name beside its place, flushed to the disk, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cxresnet.core.errors import StorageError

__all__ = [
    "compute_sha256",
    "explain_storage_errors",
    "read_json",
    "write_bytes",
    "write_json",
    "write_text",
    "written_whole",
]

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
def written_whole(path: Path) -> Iterator[IO[bytes]]:
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
    with written_whole(path) as stream:
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
    """Read a JSON file in UTF-8."""
    return json.loads(path.read_text(encoding="utf-8"))


def compute_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
