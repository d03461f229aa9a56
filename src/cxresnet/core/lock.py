"""One process at a time: a lock that the system takes back when its holder dies, in any way."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cxresnet.core.errors import RunFolderError
from cxresnet.core.files import explain_storage_errors

if sys.platform != "win32":
    import fcntl

__all__ = ["locked"]

_NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@contextlib.contextmanager
def locked(path: Path, *, what: str) -> Iterator[None]:
    """Hold a lock file while something is written.

    A file that a killed process left behind holds nobody up: the lock is on the open file, not in
    its being there. File systems without locks are written without one.

    Args:
        path: The lock file; made, and taken away at the end.
        what: What is being written, for the message.

    Raises:
        RunFolderError: Another process holds it.
        StorageError: The file cannot be made.
    """
    if sys.platform == "win32":  # has no such lock; two at a time are not told apart
        yield
        return
    with explain_storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _open_current(path, what=what)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _open_current(path: Path, *, what: str) -> int:
    """Open and lock the file that lies at a path, even if its last holder just took it away."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(handle, what=what)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode("ascii"), 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _take(handle: int, *, what: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 20, 0).decode("ascii", errors="replace")
        who = f" (process {holder})" if holder.isdigit() else ""
        raise RunFolderError(
            f"Another command{who} is writing {what} at this moment. Wait until it is done, or "
            "give another --out."
        ) from error
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
