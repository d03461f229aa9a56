"""Untrusted paths: checked by their text alone, before any file is touched."""

from __future__ import annotations

import posixpath
import re

from cxresnet.core.errors import UnsafePathError
from cxresnet.core.printable import make_printable

_DRIVE = re.compile(r"^[A-Za-z]:")


def normalise_path(text: str) -> str:
    """Bring a path from a table or an archive to the form `folder/image.png`.

    Args:
        text: Relative to its folder; with "/" or, as Windows writes it, with backslashes.

    Returns:
        The path without "." and "..", with "/" between its parts.

    Raises:
        UnsafePathError: It is absolute, starts at a home folder or a drive, or climbs out.

    >>> normalise_path("train/../test/image.png")
    'test/image.png'
    """
    path = text.strip().replace("\\", "/")
    tidy = posixpath.normpath(path) if path else ""
    climbs = tidy == ".." or tidy.startswith(("../", "/", "~"))
    if climbs or _DRIVE.match(tidy) or "\0" in path:
        raise UnsafePathError(
            f"The path '{make_printable(text)}' leads out of its folder; it is not followed. "
            "Write paths relative to the folder, and put the images in it."
        )
    return "" if tidy == "." else tidy
