"""A store keeps files under relative names: a folder here, an archive in `archive.py`.

Layouts (class folders, tables, recipes) ask a store and never touch the disk themselves, so each
of them works on a folder and in an archive alike.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cxresnet.core.errors import FilmError, SourceError, UnsafePathError
from cxresnet.data.sources.safe_path import make_printable, normalise_path
from cxresnet.data.sources.source import Rejection

__all__ = ["MAX_FILE_BYTES", "AbstractStore", "FolderStore", "Listing", "is_hidden"]

MAX_FILE_BYTES = 512 * 2**20
"""A larger file is no film; it is refused before it is read."""


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes:
        members: Relative names with "/" between the parts, sorted; hidden files are left out.
        rejections: What is there but will not be read: links that lead out, pipes, devices.
    """

    members: tuple[str, ...]
    rejections: tuple[Rejection, ...] = ()


class AbstractStore(ABC):
    """Files under relative names. Instances can be pickled; nothing stays open in them."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A short name for tables and messages."""

    @abstractmethod
    def list_members(self) -> Listing:
        """List every file that is not hidden.

        Raises:
            SourceError: The store cannot be read at all.
        """

    @abstractmethod
    def find_member(self, path: str) -> str:
        """Find the member that a path means; "" if there is none.

        Raises:
            UnsafePathError: The path leads out of the store.
        """

    @abstractmethod
    def read_member(self, member: str) -> bytes:
        """Read one file whole.

        Raises:
            FilmError: "missing", "unreadable" or "too-large".
            UnsafePathError: The member leads out of the store.
        """


class FolderStore(AbstractStore):
    """A folder on the disk.

    Links to folders are not followed: inside the folder their films are found at their own place,
    and a link that leads out is refused. So no loop can trap a listing.
    """

    def __init__(self, root: Path, *, reach: Path | None = None) -> None:
        """Keep the places; nothing is opened.

        Args:
            root: The folder; members are relative to it.
            reach: The folder that no member may leave; `root` or a folder above it.
        """
        self.root = root
        self.reach = root if reach is None else reach

    @cached_property
    def name(self) -> str:
        """Name of the folder."""
        return make_printable(self.root.resolve().name or "films")

    def list_members(self) -> Listing:
        """List every file that is not hidden; see `AbstractStore`."""
        if not self.root.is_dir():
            raise SourceError(f"There is no folder '{self.root}'. Check the path.")
        members: list[str] = []
        rejections: list[Rejection] = []
        for entry, relative in _walk(self.root):
            refusal = self._refuse(entry, relative)
            if refusal is not None:
                rejections.append(refusal)
            elif entry.is_file():
                members.append(relative)
        return Listing(tuple(sorted(members)), tuple(rejections))

    def _refuse(self, entry: os.DirEntry[str], relative: str) -> Rejection | None:
        if not entry.is_symlink():
            if entry.is_file():
                return None
            code, reason = "not-an-image", "a pipe, a socket or a device"
        elif not self._is_inside(Path(entry.path)):
            code, reason = (
                "unsafe-path",
                "a link that leads out of the folder; it is not followed",
            )
        elif Path(entry.path).exists():
            return None
        else:
            code, reason = "missing", "a link to nothing"
        name = make_printable(relative)
        return Rejection(image_id=name, class_name="", code=code, reason=f"It is {reason}.")

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

    def has_file(self, member: str) -> bool:
        """Say whether there is such a file; `member` may climb as far as `reach`.

        Raises:
            UnsafePathError: It leads out of `reach`.
        """
        return self._locate(member).is_file()

    def read_member(self, member: str) -> bytes:
        """Read one file whole; see `AbstractStore`."""
        path = self._locate(member)
        shown = make_printable(member)
        try:
            if not path.is_file():
                raise FilmError("missing", f"The file '{shown}' is gone.")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise FilmError("too-large", f"The file '{shown}' is larger than 512 MiB.")
            return path.read_bytes()
        except OSError as error:
            raise FilmError("unreadable", f"'{shown}' cannot be read: {error.strerror}.") from error

    def _locate(self, member: str) -> Path:
        path = self.root / member
        if not self._is_inside(path):
            raise UnsafePathError(
                f"The path '{make_printable(member)}' leads out of '{self.reach}'; it is not "
                "followed. Put the file into the folder."
            )
        return path


def is_hidden(name: str) -> bool:
    """Say whether a file or folder is one that systems leave behind, not people."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}


def _walk(root: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield every entry that is not a folder, with its relative name; links are not followed."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = [entry for entry in entries if not is_hidden(entry.name)]
        except OSError as error:
            raise SourceError(
                f"The folder '{make_printable(folder) or root}' cannot be read: {error.strerror}."
            ) from error
        for entry in found:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(relative)
            else:
                yield entry, relative
