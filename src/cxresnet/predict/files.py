"""Image files as they are on disk, wherever a user points."""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.errors import ImageError
from cxresnet.data.sources.source import MAX_FILE_BYTES


def read_image_file(path: Path) -> bytes:
    """Read a plain file; never opens a device or a pipe, which could block for ever.

    Raises:
        ImageError: "missing", "not-a-file", "too-large" or "unreadable".
    """
    try:
        if not path.exists():
            raise ImageError("missing", "There is no such file.")
        if not path.is_file():
            raise ImageError("not-a-file", "It is a folder, a pipe or a device, not a file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(
                "too-large",
                f"The file has more than {MAX_FILE_BYTES // 2**20} MiB. Reduce it first.",
            )
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ImageError("unreadable", f"The file cannot be read: {reason}.") from error
