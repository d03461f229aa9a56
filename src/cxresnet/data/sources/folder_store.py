"""A folder on the disk as a store, with what its links lead to on request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from cxresnet.core.errors import ImageError, SourceError, UnsafePathError
from cxresnet.core.printable import make_printable
from cxresnet.data.sources.safe_path import normalise_path
from cxresnet.data.sources.source import (
    MAX_FILE_BYTES,
    AbstractStore,
    Listing,
    Rejection,
    is_hidden,
)


class FolderStore(AbstractStore):
    """A folder on the disk.

    By default links to folders are not followed: inside the folder their images are found at their
    own place, and a link that leads out is refused.
    """

    def __init__(
        self, root: Path, *, reach: Path | None = None, follow_links: bool = False
    ) -> None:
        """Keep the places; nothing is opened yet.

        Args:
            root: The folder; members are relative to it.
            reach: The folder that no member may leave; `root` or a folder above it.
            follow_links: Read what links in the folder lead to, wherever it lies.
        """
        self.root = root
        self.reach = root if reach is None else reach
        self.follow_links = follow_links

    @cached_property
    def name(self) -> str:
        """Name of the folder."""
        return make_printable(self.root.resolve().name or "images")

    def list_members(self) -> Listing:
        """List every file that is not hidden; see `AbstractStore`."""
        if not self.root.is_dir():
            raise SourceError(f"There is no folder '{self.root}'. Check the path.")
        members: list[str] = []
        rejections: list[Rejection] = []
        empty: list[str] = []
        for entry, relative in _walk(self.root, follow_links=self.follow_links):
            refusal = None if entry is None else self._refuse(entry, relative)
            if entry is None:
                empty.append(relative)
            elif refusal is not None:
                rejections.append(refusal)
            elif entry.is_file():
                members.append(relative)
        return Listing(tuple(sorted(members)), tuple(rejections), tuple(sorted(empty)))

    def _refuse(self, entry: os.DirEntry[str], relative: str) -> Rejection | None:
        if not entry.is_symlink():
            if entry.is_file():
                return None
            code, reason = "not-an-image", "a pipe, a socket or a device"
        elif not self.follow_links and not self._is_inside(Path(entry.path)):
            code, reason = "unsafe-path", f"a link that leads out of the folder. {_LINKS}"
        elif Path(entry.path).exists():
            return None
        else:
            code, reason = "missing", "a link to nothing"
        name = make_printable(relative)
        reason = f"It is {reason.removesuffix('.')}."
        return Rejection(image_id=name, class_name="", code=code, reason=reason)

    def _is_inside(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return real == self._real_reach or real.startswith(self._real_reach.rstrip(os.sep) + os.sep)

    @cached_property
    def _real_reach(self) -> str:
        return os.path.realpath(self.reach)

    def find_member(self, path: str) -> str:
        """Find a file by its relative path; see `AbstractStore`."""
        member = normalise_path(path)
        return member if member and self.has_file(member) else ""

    def make_relative(self, path: str) -> str:
        """Take the place of the folder away from a path that begins with it."""
        for root in (str(self.root.absolute()), os.path.realpath(self.root)):
            if path.startswith(root.rstrip(os.sep) + os.sep):
                return os.path.relpath(path, root)
        return path

    def has_file(self, member: str) -> bool:
        """Say whether there is such a file; `member` may climb as far as `reach`.

        Raises:
            UnsafePathError: It leads out of `reach`.
        """
        path = self._locate(member)
        try:
            return path.is_file()
        except OSError:  # for example, its name is too long for the system
            return False

    def read_member(self, member: str) -> bytes:
        """Read one file whole; see `AbstractStore`."""
        path = self._locate(member)
        shown = make_printable(member)
        try:
            if not path.is_file():
                raise ImageError("missing", f"The file '{shown}' is missing.")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ImageError("too-large", f"The file '{shown}' is larger than 512 MiB.")
            return path.read_bytes()
        except OSError as error:
            raise ImageError(
                "unreadable", f"'{shown}' cannot be read: {error.strerror}."
            ) from error

    def open_member(self, member: str) -> BinaryIO:
        """Open one file for reading; see `AbstractStore`."""
        return self._locate(member).open("rb")

    def _locate(self, member: str) -> Path:
        path = self.root / member
        may_follow = self.follow_links and ".." not in member.split("/")
        if not may_follow and not self._is_inside(path):
            raise UnsafePathError(
                f"The path '{make_printable(member)}' leads out of '{self.reach}'. {_LINKS}"
            )
        return path


_LINKS = (
    "Put the file into the folder; or, if links there lead to images that you trust, read them "
    "with --follow-links."
)


def _walk(root: Path, *, follow_links: bool) -> Iterator[tuple[os.DirEntry[str] | None, str]]:
    """Yield every entry that is not a folder, with its relative name; None for an empty folder.

    Each folder is listed once, at its own place before that of a link: no loop traps a listing.
    """
    seen: set[str] = set()
    waiting, links = [""], list[str]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(root / folder)
        if real in seen:
            continue
        seen.add(real)
        entries = _list_folder(root, folder)
        if folder and not entries:
            yield None, folder
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(relative)
            elif follow_links and entry.is_dir():
                links.append(relative)
            else:
                yield entry, relative


def _list_folder(root: Path, folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            found = [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise SourceError(
            f"The folder '{make_printable(folder) or root}' cannot be read: {error.strerror}."
        ) from error
    return sorted(found, key=lambda entry: entry.name)
