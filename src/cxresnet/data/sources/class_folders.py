"""Films in class folders: `normal/film.png`, with or without train, val and test around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import ClassMapError
from cxresnet.data.record import ImageRecord
from cxresnet.data.sources.beside import (
    BesideManifest,
    find_manifest_folder,
    read_manifest_beside,
)
from cxresnet.data.sources.columns import FilmRow
from cxresnet.data.sources.layout import Layout, PlacedFilm, lay_out_class_folders
from cxresnet.data.sources.safe_path import make_printable
from cxresnet.data.sources.source import Rejection, ScanResult
from cxresnet.data.sources.store import AbstractStore, FolderStore
from cxresnet.data.sources.stored import AbstractStoredSource

__all__ = ["ClassFoldersSource", "open_films_folder"]


class ClassFoldersSource(AbstractStoredSource):
    """A folder or archive with one folder of films a class; see `layout.py` for what is understood.

    Where a `manifest.csv` lies in the folder or in the one above it, and its rows name these films,
    patients, sources, views, splits and masks are taken from it, and classes for films that lie in
    no class folder.
    """

    def __init__(
        self,
        root: Path | AbstractStore,
        class_map: ClassMap | None = None,
        *,
        use_manifest: bool = True,
        alone: bool = True,
    ) -> None:
        """Keep what to read; nothing is opened.

        Args:
            root: A folder, or another store.
            class_map: Which folder means which class; by default what we know.
            use_manifest: Take what a `manifest.csv` beside the films says.
            alone: False where other sources are joined: a single class is then no error.
        """
        if isinstance(root, Path):
            root = open_films_folder(root, use_manifest=use_manifest)
        super().__init__(root, class_map or build_class_map(), alone=alone)
        self.use_manifest = use_manifest

    def arrange(self) -> ScanResult:
        """List the films and ask the manifest beside them; see `AbstractStoredSource.scan`."""
        listing = self.store.list_members()
        manifest = read_manifest_beside(self.store, listing.members) if self.use_manifest else None
        masks = manifest.list_masks() if manifest else set()
        layout = lay_out_class_folders(
            (member for member in listing.members if member not in masks), self.class_map
        )
        rows = manifest.rows if manifest else {}
        films = [self._describe(film, rows.get(film.path)) for film in layout.films]
        self._check_folders(layout.films, films)
        kept = tuple(film for film in films if film.class_name)
        homeless = (film.image_id for film in films if not film.class_name)
        return ScanResult(
            kept,
            (*listing.rejections, *_list_rejections(layout, homeless)),
            tuple(_make_notices(layout, kept, manifest, self.class_map)),
        )

    def _describe(self, film: PlacedFilm, row: FilmRow | None) -> ImageRecord:
        """Join what the path and the manifest say; the class folder decides on the class."""
        class_name = film.class_name
        if not class_name and row is not None and row.label:
            class_name = self.class_map.require(row.label)
        return ImageRecord(
            image_id=make_printable(film.path),
            location=film.path,
            class_name=class_name,
            source=(row.source if row else "") or self.name,
            patient_id=row.patient_id if row else "",
            given_split=film.given_split or (row.given_split if row else ""),
            view=row.view if row else "",
            age_years=row.age_years if row else "",
            sex=row.sex if row else "",
            lung_mask=(row.lung_mask if row else "") or film.lung_mask,
            lesion_mask=(row.lesion_mask if row else "") or film.lesion_mask,
        )

    def _check_folders(self, placed: Sequence[PlacedFilm], films: Sequence[ImageRecord]) -> None:
        """Refuse films in folders that nobody claims, and a folder without any class folder.

        Raises:
            ClassMapError: Says what was probably meant.
        """
        unknown = {
            make_printable(where.folder)
            for where, film in zip(placed, films, strict=True)
            if where.folder and not film.class_name
        }
        if unknown:
            raise ClassMapError(f"'{self.name}': {self.class_map.explain_unknown(unknown)}")
        if films and not any(film.class_name for film in films):
            raise ClassMapError(
                f"'{self.name}' has {len(films)} films but no class folders. Put the films of each "
                "class into a folder of their own, or give a table that names file and class."
            )


def open_films_folder(root: Path, *, use_manifest: bool) -> FolderStore:
    """Open a folder as a store that may reach the masks of a manifest above it, and no farther."""
    return FolderStore(root, reach=find_manifest_folder(root) if use_manifest else None)


def _reject(image_id: str, code: str, reason: str, *, class_name: str = "") -> Rejection:
    """Build a row of `rejected.csv`, its id printable."""
    return Rejection(
        image_id=make_printable(image_id), class_name=class_name, code=code, reason=reason
    )


def _list_rejections(layout: Layout, homeless: Iterator[str]) -> Iterator[Rejection]:
    for path in homeless:
        yield _reject(path, "no-class", "The film lies in no class folder.")
    for path in layout.ignored:
        yield _reject(
            path, "ignored", "The film lies in a folder that --classes or the recipe leaves out."
        )
    for path in layout.not_films:
        yield _reject(path, "not-an-image", "The file is no picture by its name.")


def _make_notices(
    layout: Layout,
    films: Sequence[ImageRecord],
    manifest: BesideManifest | None,
    class_map: ClassMap,
) -> Iterator[str]:
    if layout.ignored:
        yield f"{len(layout.ignored)} films lie in folders that are left out."
    validation = Counter(film.given_split for film in films)["val"]
    if 0 < validation < 50:
        yield (
            f"The given validation split has only {validation} films, too few to choose a network "
            "on. It is kept only with data.keep_given_split=true; else all films are split afresh."
        )
    if manifest is None:
        return
    matched = sum(film.location in manifest.rows for film in films)
    yield (
        f"{manifest.place} beside the films was used for {matched} of {len(films)}: patients, "
        "sources, views, splits and masks come from it (--no-manifest leaves it out)."
    )
    if manifest.lost_masks:
        yield f"{manifest.place} names {manifest.lost_masks} masks that are not there."
    quarrels = [film for film in films if _disagrees(film, manifest, class_map)]
    if quarrels:
        yield (
            f"{len(quarrels)} films have another class in {manifest.place} than their folder says, "
            f"for example '{quarrels[0].image_id}'; the folder was believed."
        )


def _disagrees(film: ImageRecord, manifest: BesideManifest, class_map: ClassMap) -> bool:
    row = manifest.rows.get(film.location)
    said = class_map.find(row.label) if row and row.label else None
    return said is not None and said != film.class_name
