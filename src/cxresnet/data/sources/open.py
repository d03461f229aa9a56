"""Opening a SOURCE that the user named; its kind is recognised by its name and content."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.errors import SourceError
from cxresnet.data.phantoms.plan import parse_phantom_settings
from cxresnet.data.sources.archive import is_archive_name, open_archive
from cxresnet.data.sources.class_folders import ClassFoldersSource, open_image_folder
from cxresnet.data.sources.dicom_identity import DicomIdentitySource
from cxresnet.data.sources.dicom_labels import UnlabelledSource
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.joined import JoinedSource
from cxresnet.data.sources.kaggle import fetch_from_kaggle, is_kaggle_name, normalise_handle
from cxresnet.data.sources.known_presets import (
    find_dataset_preset,
    find_dataset_preset_by_handle,
    recognise_dataset_preset,
)
from cxresnet.data.sources.medmnist import MedMnistSource
from cxresnet.data.sources.nested import open_nested
from cxresnet.data.sources.phantom import PhantomSource
from cxresnet.data.sources.presets import DatasetPreset, DatasetPresetSource
from cxresnet.data.sources.source import AbstractSource, AbstractStore, AbstractStoredSource
from cxresnet.data.sources.table import TableOptions, TableSource
from cxresnet.data.sources.table_file import is_table_name

NO_DATASET_PRESET = "none"
"""Turns dataset presets off."""

_KINDS = (
    "a folder, a table (CSV, TSV, Parquet, xlsx), an archive (zip, tar, tar.gz), a MedMNIST .npz, "
    "kaggle:OWNER/SLUG, or phantoms"
)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How to read sources.

    Attributes:
        class_table: From class to the folders or labels that mean it, as of `parse_class_table`.
        use_manifest: Take what a `manifest.csv` beside the images says.
        dataset_preset: Name of a known set; None: tell by the look of it; `NO_DATASET_PRESET`: as
            it is.
        labels: A table that says which DICOM image shows what; see `DicomIdentitySource`.
        any_body_part: Take radiographs of any part of the body.
        follow_links: Read what links in a folder lead to, also outside of it.
        no_patients: Patient ids that stand for nobody, beside those that we know.
        external_test: The images are an external test set for networks trained elsewhere: one
            class is enough.
        table_options: Columns and labels of tables, where the guess would be wrong.
    """

    class_table: Mapping[str, Sequence[str]] | None = None
    use_manifest: bool = True
    dataset_preset: str | None = None
    labels: Path | None = None
    any_body_part: bool = False
    follow_links: bool = False
    no_patients: Sequence[str] = ()
    external_test: bool = False
    table_options: TableOptions = field(default_factory=TableOptions)

    def build_class_map(self) -> ClassMap:
        """Build the class map of sources that are no known set."""
        return build_class_map(self.class_table)


def open_source(texts: str | Sequence[str], options: SourceOptions | None = None) -> AbstractSource:
    """Open the images that the user named.

    Args:
        texts: One or several; "a+b" is several too, unless a file has this name.
        options: How to read them.

    Returns:
        One source; several are joined.

    Raises:
        SourceError: There is nothing of that name, or it is of a kind that cannot be read.
        ConfigError: An option is wrong.
    """
    options = options or SourceOptions()
    given = [texts] if isinstance(texts, str) else list(texts)
    names = [name for text in given for name in _split_joined(text)]
    if not names:
        raise SourceError(f"No source was named. Give {_KINDS}.")
    if options.labels is not None and all(map(is_table_name, names)):
        raise SourceError(
            f"--labels goes with a folder or an archive; '{Path(names[0]).name}' is a table with "
            "labels of its own. Give the folder of the images in its place, or leave out --labels."
        )
    require_two_classes = len(names) == 1 and not options.external_test
    parts = [_open_one(name, options, require_two_classes=require_two_classes) for name in names]
    return (
        parts[0]
        if len(parts) == 1
        else JoinedSource(parts, require_two_classes=not options.external_test)
    )


def _split_joined(text: str) -> list[str]:
    if "+" not in text or is_kaggle_name(text) or Path(text).expanduser().exists():
        return [text]
    return [part.strip() for part in text.split("+") if part.strip()]


def _open_one(text: str, options: SourceOptions, *, require_two_classes: bool) -> AbstractSource:
    """Open one source by the kind that its name and content show."""
    if text == "phantoms" or text.startswith("phantoms:"):
        return PhantomSource(parse_phantom_settings(text.partition(":")[2]))
    if is_kaggle_name(text):
        return _open_kaggle(
            normalise_handle(text), options, require_two_classes=require_two_classes
        )
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folder(path, options, require_two_classes=require_two_classes)
    if not path.is_file():
        raise SourceError(_explain_missing(text, path))
    if path.suffix.casefold() == ".npz":
        return MedMnistSource(
            path, options.build_class_map(), require_two_classes=require_two_classes
        )
    if is_archive_name(path.name):
        return _open_store(
            open_nested(open_archive(path)), options, require_two_classes=require_two_classes
        )
    if is_table_name(path.name):
        table = TableSource(
            open_nested(FolderStore(path.parent, follow_links=options.follow_links)), path.name,
            options.build_class_map(),
            table_options=options.table_options, require_two_classes=require_two_classes,
        )  # fmt: skip
        return _identify(table, options)
    raise SourceError(f"'{path.name}' is of a kind that cannot be read. Give {_KINDS}.")


def _open_kaggle(
    handle: str, options: SourceOptions, *, require_two_classes: bool
) -> AbstractSource:
    folder = fetch_from_kaggle(handle)
    known = find_dataset_preset_by_handle(handle)
    if known is not None and options.dataset_preset is None:
        options = replace(options, dataset_preset=known.name)
    return _open_folder(folder, options, require_two_classes=require_two_classes)


def _open_folder(
    path: Path, options: SourceOptions, *, require_two_classes: bool
) -> AbstractSource:
    """Open a folder, with the archives in it."""
    store = open_nested(
        open_image_folder(
            path, use_manifest=options.use_manifest, follow_links=options.follow_links
        )
    )
    return _open_store(store, options, require_two_classes=require_two_classes)


def _open_store(
    store: AbstractStore, options: SourceOptions, *, require_two_classes: bool
) -> AbstractSource:
    """Open a folder or archive; its DICOM images are identified in whichever layout they lie."""
    layout = _find_layout(store, options, require_two_classes=require_two_classes)
    return _identify(layout, options)


def _identify(inner: AbstractStoredSource, options: SourceOptions) -> DicomIdentitySource:
    return DicomIdentitySource(
        inner,
        labels=None if isinstance(inner, TableSource) else options.labels,
        any_body_part=options.any_body_part,
        no_patients=options.no_patients,
    )


def _find_layout(
    store: AbstractStore, options: SourceOptions, *, require_two_classes: bool
) -> AbstractStoredSource:
    """Read a store as a known set, by a table of labels, or as class folders."""
    if options.labels is not None:
        return UnlabelledSource(store, options.build_class_map())
    dataset_preset = _choose_dataset_preset(store, options)
    if dataset_preset is None:
        return ClassFoldersSource(
            store,
            options.build_class_map(),
            use_manifest=options.use_manifest,
            require_two_classes=require_two_classes,
        )
    return DatasetPresetSource(
        store,
        dataset_preset,
        options.class_table,
        use_manifest=options.use_manifest,
        require_two_classes=require_two_classes,
    )


def _choose_dataset_preset(store: AbstractStore, options: SourceOptions) -> DatasetPreset | None:
    if options.dataset_preset is None:
        return recognise_dataset_preset(store.list_members().members)
    return (
        None
        if options.dataset_preset == NO_DATASET_PRESET
        else find_dataset_preset(options.dataset_preset)
    )


def _explain_missing(text: str, path: Path) -> str:
    if re.match(r"[a-z0-9]+://", text):
        return (
            f"'{text}' is an address, and of those only Kaggle's are read. Download the images and "
            "give their folder or archive."
        )
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, there, n=1)
    hint = f" Did you mean '{path.parent / close[0]}'?" if close else f" Give {_KINDS}."
    return f"There is no '{path}'.{hint}"
