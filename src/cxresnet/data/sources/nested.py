"""Archives that lie in a folder or in another archive, read like folders, one level deep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from cxresnet.core.errors import ImageError, SourceError
from cxresnet.core.printable import make_printable
from cxresnet.data.sources.archive import (
    ARCHIVE_SUFFIXES,
    AbstractArchiveStore,
    PackedZipStore,
    is_archive_name,
    open_archive,
)
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.source import AbstractStore, Listing, Rejection, is_packed_name

_UNPACK = "Unpack it and give the folder."


def open_nested(outer: AbstractStore) -> AbstractStore:
    """Open the archives of a store like folders: `Normal.zip` holds what a folder `Normal` would.

    Args:
        outer: A folder or an archive.

    Returns:
        The store itself, if there is no archive in it.
    """
    archives = tuple(filter(is_archive_name, outer.list_members().members))
    return NestedStore(outer, archives) if archives else outer


class NestedStore(AbstractStore):
    """A store with the archives in it; a file of the store comes before one of an archive.

    Attributes:
        outer: The folder or archive.
        archives: Members of `outer`.
    """

    def __init__(self, outer: AbstractStore, archives: tuple[str, ...]) -> None:
        """Keep the places; no archive is opened yet."""
        self.outer = outer
        self.archives = archives

    @property
    def name(self) -> str:
        """Name of the outer store."""
        return self.outer.name

    def make_relative(self, path: str) -> str:
        """Take the place of the outer store away; see `AbstractStore`."""
        return self.outer.make_relative(path)

    def list_members(self) -> Listing:
        """List the files of the store, and those of its archives; see `AbstractStore`."""
        listing = self.outer.list_members()
        members = dict.fromkeys(name for name in listing.members if name not in self.archives)
        rejections = list(listing.rejections)
        for archive in self.archives:
            found = self._list_archive(archive, frozenset(members))
            members |= dict.fromkeys(found.members)
            rejections += found.rejections
        return Listing(tuple(sorted(members)), tuple(rejections), listing.empty_folders)

    def _list_archive(self, archive: str, known: frozenset[str]) -> Listing:
        """List one archive, without the files that lie unpacked beside it."""
        try:
            inner = _open_inner(self.outer, archive).list_members()
        except (SourceError, ImageError) as error:
            return Listing((), (_reject(archive, "unreadable", str(error)),))
        folder, prefix = archive.rpartition("/")[0], _take_ending(archive)
        beside = f"{folder}/" if folder else ""
        members = [
            f"{prefix}/{name}"
            for name in inner.members
            if f"{prefix}/{name}" not in known and beside + name not in known
        ]
        rejections = [
            _reject(f"{prefix}/{row.image_id}", row.code, row.reason) for row in inner.rejections
        ]
        unpacked = len(inner.members) - len(members)
        if unpacked:
            reason = f"{unpacked} of its files lie unpacked beside it; those were taken."
            rejections.append(_reject(archive, "already-unpacked", reason))
        return Listing(
            tuple(name for name in members if not is_packed_name(name)),
            (*rejections, *_reject_deeper(members)),
        )

    def find_member(self, path: str) -> str:
        """Find a file of the store or of an archive; see `AbstractStore`."""
        member = self.outer.find_member(path)
        if member:
            return "" if member in self.archives else member
        return next((f"{prefix}/{name}" for prefix, _, name in self._find_inner(path)), "")

    def read_member(self, member: str) -> bytes:
        """Read one file of the store or of an archive; see `AbstractStore`."""
        store, name = self._locate(member)
        return store.read_member(name)

    def open_member(self, member: str) -> BinaryIO:
        """Open one file for reading; see `AbstractStore`."""
        store, name = self._locate(member)
        return store.open_member(name)

    def read_head(self, member: str) -> bytes:
        """Read the first bytes of a file; see `AbstractStore`."""
        store, name = self._locate(member)
        return store.read_head(name)

    def _locate(self, member: str) -> tuple[AbstractStore, str]:
        """Find the store that has a file, and what it is called there."""
        if not self.outer.find_member(member):
            for _, inner, name in self._find_inner(member):
                return inner, name
        return self.outer, member

    def _find_inner(self, path: str) -> Iterator[tuple[str, AbstractStore, str]]:
        """Yield the prefix, the archive and the member in it that a path may mean."""
        for prefix, archive in self._by_prefix:
            if path.startswith(f"{prefix}/"):
                inner = _open_inner(self.outer, archive)
                name = inner.find_member(path.removeprefix(f"{prefix}/"))
                if name:
                    yield prefix, inner, name

    @cached_property
    def _by_prefix(self) -> list[tuple[str, str]]:
        return [(_take_ending(archive), archive) for archive in self.archives]


def _open_inner(outer: AbstractStore, archive: str) -> AbstractStore:
    """Open an archive in a store.

    Raises:
        SourceError: It is of a kind that is read from a folder alone.
    """
    if isinstance(outer, FolderStore):
        return open_archive(outer.root / archive)
    if isinstance(outer, AbstractArchiveStore) and archive.casefold().endswith(".zip"):
        return PackedZipStore(outer.path, archive)
    raise SourceError(f"It is a tar archive within an archive. {_UNPACK}")


def _take_ending(archive: str) -> str:
    ending = next(end for end in ARCHIVE_SUFFIXES if archive.casefold().endswith(end))
    return archive[: -len(ending)]


def _reject(name: str, code: str, reason: str) -> Rejection:
    return Rejection(image_id=make_printable(name), class_name="", code=code, reason=reason)


def _reject_deeper(members: list[str]) -> Iterator[Rejection]:
    for name in filter(is_packed_name, members):
        yield _reject(name, "not-an-image", f"It is an archive within an archive. {_UNPACK}")
