"""The `manifest.csv` beside the images, with patients, sources, views and masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cxresnet.core.errors import SourceError, UnsafePathError
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.names import NameIndex
from cxresnet.data.sources.nested import NestedStore
from cxresnet.data.sources.safe_path import normalise_path
from cxresnet.data.sources.source import AbstractStore
from cxresnet.data.sources.table_file import ImageRow, find_columns, read_image_rows, read_table

MANIFEST_NAME = "manifest.csv"


@dataclass(frozen=True)
class SidecarManifest:
    """What a manifest records about the images of a store.

    Attributes:
        place: For messages, for example "manifest.csv".
        rows: From member of the store to its row; masks in the rows are members too.
        lost_masks: How many masks are named but not there.
    """

    place: str
    rows: Mapping[str, ImageRow]
    lost_masks: int

    def list_masks(self) -> set[str]:
        """List the members that are masks, and so no images."""
        masks = {row.lung_mask for row in self.rows.values()}
        return (masks | {row.lesion_mask for row in self.rows.values()}) - {""}


def find_manifest_folder(root: Path) -> Path | None:
    """Find the folder of the manifest above the images: the parent of `root`, if it has one.

    A store of `root` must be allowed to reach so far, for the masks lie there.
    """
    parent = root.resolve().parent
    return parent if (parent / MANIFEST_NAME).is_file() else None


def read_sidecar_manifest(store: AbstractStore, members: Iterable[str]) -> SidecarManifest | None:
    """Read the manifest in the store or, for a folder, in the folder above it.

    Args:
        store: With the images.
        members: All its files.

    Returns:
        The rows of images that the store has; None if there is no manifest, or none for them.

    Raises:
        SourceError: The manifest cannot be read as a table.
        UnsafePathError: A mask in it leads out of the manifest's folder.
    """
    known = frozenset(members)
    for view in _list_views(store, known):
        found = _match(store, _read_rows(store, view), known, view)
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class _View:
    """How a manifest sees the store.

    Attributes:
        manifest: Member that it is.
        within: Folder of the store that its paths are relative to, with "/" behind, else "".
        prefix: Where its paths begin that lie in the store, with "/" behind, else "".
    """

    manifest: str
    within: str = ""
    prefix: str = ""

    def find_member(self, path: str) -> str:
        """Turn a path of the manifest into a member: for a mask beside the store, "../masks/x"."""
        tidy = normalise_path(path)
        if not self.prefix:
            return self.within + tidy
        return tidy.removeprefix(self.prefix) if tidy.startswith(self.prefix) else f"../{tidy}"


def _list_views(store: AbstractStore, known: frozenset[str]) -> Iterator[_View]:
    """List the manifests to ask: at the top, in the one folder around all, above the store."""
    if MANIFEST_NAME in known:
        yield _View(MANIFEST_NAME)
    tops = {member.partition("/")[0] for member in known}
    for top in tops if len(tops) == 1 else ():
        if f"{top}/{MANIFEST_NAME}" in known:
            yield _View(f"{top}/{MANIFEST_NAME}", within=f"{top}/")
    folder = store.outer if isinstance(store, NestedStore) else store
    if isinstance(folder, FolderStore) and folder.reach != folder.root:
        yield _View(f"../{MANIFEST_NAME}", prefix=f"{folder.root.resolve().name}/")


def _read_rows(store: AbstractStore, view: _View) -> list[ImageRow]:
    """Read the rows of images in the store; without a column of files there are none."""
    try:
        table = read_table(store.read_member(view.manifest), name=view.manifest)
    except SourceError as error:
        raise SourceError(f"{error} Or leave this manifest out with --no-manifest.") from error
    columns = find_columns(table)
    if "path" not in columns:
        return []
    rows = read_image_rows(table, columns)
    return [row for row in rows if row.path.replace("\\", "/").startswith(view.prefix)]


def _match(
    store: AbstractStore, rows: list[ImageRow], known: frozenset[str], view: _View
) -> SidecarManifest | None:
    """Match rows to members."""
    matched: dict[str, ImageRow] = {}
    index = NameIndex(known)
    lost = 0
    for row in rows:
        try:
            named, *masks = (
                path and view.find_member(path)
                for path in (row.path, row.lung_mask, row.lesion_mask)
            )
        except UnsafePathError as error:
            raise UnsafePathError(f"Row {row.number} of {MANIFEST_NAME}: {error}") from error
        member = _take_only(index.find(named, any_ending=True))
        if not member or (member in matched and member != named):
            continue
        masks = [_take_only(index.find(mask)) or mask for mask in masks]
        there = [mask if mask in known or _is_there(store, mask) else "" for mask in masks]
        lost += sum(map(bool, masks)) - sum(map(bool, there))
        matched[member] = replace(row, lung_mask=there[0], lesion_mask=there[1])
    return SidecarManifest(view.manifest, matched, lost) if matched else None


def _is_there(store: AbstractStore, member: str) -> bool:
    folder = store.outer if isinstance(store, NestedStore) else store
    return bool(member) and isinstance(folder, FolderStore) and folder.has_file(member)


def _take_only(found: tuple[str, ...]) -> str:
    return found[0] if len(found) == 1 else ""
