"""The manifest beside the films: a `manifest.csv` that knows patients, sources, views and masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cxresnet.core.errors import SourceError, UnsafePathError
from cxresnet.data.sources.columns import FilmRow, find_columns, read_film_rows
from cxresnet.data.sources.safe_path import normalise_path
from cxresnet.data.sources.store import AbstractStore, FolderStore
from cxresnet.data.sources.table_file import read_table

__all__ = ["BesideManifest", "find_manifest_folder", "read_manifest_beside"]

MANIFEST_NAME = "manifest.csv"


@dataclass(frozen=True)
class BesideManifest:
    """What a manifest says about the films of a store.

    Attributes:
        place: For messages, for example "manifest.csv".
        rows: From member of the store to its row; masks in the rows are members too.
        lost_masks: How many masks are named but not there.
    """

    place: str
    rows: Mapping[str, FilmRow]
    lost_masks: int

    def list_masks(self) -> set[str]:
        """List the members that are masks, and so no films."""
        masks = {row.lung_mask for row in self.rows.values()}
        return (masks | {row.lesion_mask for row in self.rows.values()}) - {""}


def find_manifest_folder(root: Path) -> Path | None:
    """Find the folder of the manifest above the films: the parent of `root`, if it has one.

    A store of `root` must be allowed to reach so far, for the masks lie there.
    """
    parent = root.resolve().parent
    return parent if (parent / MANIFEST_NAME).is_file() else None


def read_manifest_beside(store: AbstractStore, members: Iterable[str]) -> BesideManifest | None:
    """Read the manifest in the store or, for a folder, in the folder above it.

    Args:
        store: With the films.
        members: All its files.

    Returns:
        The rows of films that the store has; None if there is no manifest, or none for them.

    Raises:
        SourceError: The manifest cannot be read as a table.
        UnsafePathError: A mask in it leads out of the manifest's folder.
    """
    known = frozenset(members)
    inside = _read_rows(store, MANIFEST_NAME, prefix="") if MANIFEST_NAME in known else []
    found = _match(store, inside, known, prefix="", place=MANIFEST_NAME)
    if found is None and isinstance(store, FolderStore) and store.reach != store.root:
        prefix = f"{store.root.resolve().name}/"
        above = _read_rows(store, f"../{MANIFEST_NAME}", prefix=prefix)
        found = _match(store, above, known, prefix=prefix, place=f"../{MANIFEST_NAME}")
    return found


def _read_rows(store: AbstractStore, member: str, *, prefix: str) -> list[FilmRow]:
    """Read the rows of films under a folder; without a column of files there are none."""
    try:
        table = read_table(store.read_member(member), name=member)
    except SourceError as error:
        raise SourceError(f"{error} Or leave this manifest out with --no-manifest.") from error
    columns = find_columns(table)
    if "path" not in columns:
        return []
    rows = read_film_rows(table, columns)
    return [row for row in rows if row.path.replace("\\", "/").startswith(prefix)]


def _match(
    store: AbstractStore, rows: list[FilmRow], known: frozenset[str], *, prefix: str, place: str
) -> BesideManifest | None:
    """Match rows to members; `prefix` is where the store lies, seen from the manifest."""
    matched: dict[str, FilmRow] = {}
    lost = 0
    for row in rows:
        member = _to_member(row.path, prefix=prefix, number=row.number)
        if member not in known:
            continue
        masks = []
        for mask in (row.lung_mask, row.lesion_mask):
            path = _to_member(mask, prefix=prefix, number=row.number) if mask else ""
            there = path in known or (bool(path) and _is_there(store, path))
            lost += bool(path) and not there
            masks.append(path if there else "")
        matched[member] = replace(row, lung_mask=masks[0], lesion_mask=masks[1])
    return BesideManifest(place, matched, lost) if matched else None


def _to_member(path: str, *, prefix: str, number: int) -> str:
    """Turn a path of the manifest into a member: for a mask beside the store, "../masks/x.png"."""
    try:
        tidy = normalise_path(path)
    except UnsafePathError as error:
        raise UnsafePathError(f"Row {number} of {MANIFEST_NAME}: {error}") from error
    if not prefix:
        return tidy
    return tidy.removeprefix(prefix) if tidy.startswith(prefix) else f"../{tidy}"


def _is_there(store: AbstractStore, member: str) -> bool:
    return isinstance(store, FolderStore) and store.has_file(member)
