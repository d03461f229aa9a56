"""What the user named as SOURCE, opened: the kind is told by its name and its look."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import SourceError
from cxresnet.data.sources.archive import is_archive_name, open_archive
from cxresnet.data.sources.class_folders import ClassFoldersSource, open_films_folder
from cxresnet.data.sources.dicom_folder import DicomFolderSource, holds_dicom
from cxresnet.data.sources.joined import JoinedSource
from cxresnet.data.sources.kaggle import KAGGLE_PREFIX, fetch_from_kaggle, normalise_handle
from cxresnet.data.sources.medmnist import MedMnistSource
from cxresnet.data.sources.phantom import PhantomSource, parse_phantom_settings
from cxresnet.data.sources.recipe import Recipe, RecipeSource
from cxresnet.data.sources.recipes import find_recipe, find_recipe_of_handle, recognise_recipe
from cxresnet.data.sources.source import AbstractSource
from cxresnet.data.sources.store import AbstractStore, FolderStore
from cxresnet.data.sources.table import TableReading, TableSource
from cxresnet.data.sources.table_file import is_table_name

__all__ = ["NO_RECIPE", "SourceOptions", "open_source"]

NO_RECIPE = "none"
"""The recipe that is none."""

_KINDS = (
    "a folder, a table (CSV, TSV, Parquet, xlsx), an archive (zip, tar, tar.gz), a MedMNIST .npz, "
    "kaggle:OWNER/SLUG, or phantoms"
)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How to read sources.

    Attributes:
        class_table: From class to the folders or labels that mean it, as of `parse_class_table`.
        use_manifest: Take what a `manifest.csv` beside the films says.
        recipe: Name of a known set; None: tell by the look of it; `NO_RECIPE`: as it is.
        labels: A table that says which DICOM film shows what; see `DicomFolderSource`.
        outside: Networks trained elsewhere are judged on the films: one class is enough.
        reading: Columns and labels of tables, where the guess would be wrong.
    """

    class_table: Mapping[str, Sequence[str]] | None = None
    use_manifest: bool = True
    recipe: str | None = None
    labels: Path | None = None
    outside: bool = False
    reading: TableReading = field(default_factory=TableReading)

    def build_class_map(self) -> ClassMap:
        """Build the class map of sources that are no known set."""
        return build_class_map(self.class_table)


def open_source(texts: str | Sequence[str], options: SourceOptions | None = None) -> AbstractSource:
    """Open the films that the user named.

    Args:
        texts: One or several; "a+b" is several too, unless a file has this name.
        options: How to read them.

    Returns:
        One source; several are joined.

    Raises:
        SourceError: There is nothing of that name, or it is of no kind that is read.
        ConfigError: An option is wrong.
    """
    options = options or SourceOptions()
    given = [texts] if isinstance(texts, str) else list(texts)
    names = [name for text in given for name in _split_joined(text)]
    if not names:
        raise SourceError(f"No source was named. Give {_KINDS}.")
    alone = len(names) == 1 and not options.outside
    parts = [_open_one(name, options, alone=alone) for name in names]
    return parts[0] if len(parts) == 1 else JoinedSource(parts, alone=not options.outside)


def _split_joined(text: str) -> list[str]:
    if "+" not in text or Path(text).expanduser().exists():
        return [text]
    return [part.strip() for part in text.split("+") if part.strip()]


def _open_one(text: str, options: SourceOptions, *, alone: bool) -> AbstractSource:
    """Open one source by the kind that its name tells."""
    if text == "phantoms" or text.startswith("phantoms:"):
        return PhantomSource(parse_phantom_settings(text.partition(":")[2]))
    if text.startswith(KAGGLE_PREFIX):
        return _open_kaggle(normalise_handle(text), options, alone=alone)
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folder(path, options, alone=alone)
    if not path.is_file():
        raise SourceError(_explain_missing(path))
    if path.suffix.casefold() == ".npz":
        return MedMnistSource(path, options.build_class_map(), alone=alone)
    if is_archive_name(path.name):
        return _open_store(open_archive(path), options, alone=alone)
    if is_table_name(path.name):
        return TableSource(
            FolderStore(path.parent), path.name, options.build_class_map(),
            reading=options.reading, alone=alone,
        )  # fmt: skip
    raise SourceError(f"'{path.name}' is of no kind that is read. Give {_KINDS}.")


def _open_kaggle(handle: str, options: SourceOptions, *, alone: bool) -> AbstractSource:
    folder = fetch_from_kaggle(handle)
    known = find_recipe_of_handle(handle)
    if known is not None and options.recipe is None:
        options = replace(options, recipe=known.name)
    return _open_folder(folder, options, alone=alone)


def _open_folder(path: Path, options: SourceOptions, *, alone: bool) -> AbstractSource:
    """Open a folder: as a known set, as DICOM, or as class folders."""
    store = open_films_folder(path, use_manifest=options.use_manifest)
    if _choose_recipe(store, options) is None and holds_dicom(path):
        return DicomFolderSource(
            path, class_map=options.build_class_map(), labels=options.labels, alone=alone
        )
    return _open_store(store, options, alone=alone)


def _open_store(store: AbstractStore, options: SourceOptions, *, alone: bool) -> AbstractSource:
    """Open a folder or archive: as a known set, or as class folders."""
    recipe = _choose_recipe(store, options)
    if recipe is None:
        return ClassFoldersSource(
            store, options.build_class_map(), use_manifest=options.use_manifest, alone=alone
        )
    return RecipeSource(
        store, recipe, options.class_table, use_manifest=options.use_manifest, alone=alone
    )


def _choose_recipe(store: AbstractStore, options: SourceOptions) -> Recipe | None:
    if options.recipe is None:
        return recognise_recipe(store.list_members().members)
    return None if options.recipe == NO_RECIPE else find_recipe(options.recipe)


def _explain_missing(path: Path) -> str:
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, there, n=1)
    hint = f" Did you mean '{path.parent / close[0]}'?" if close else f" Give {_KINDS}."
    return f"There is no '{path}'.{hint}"
