"""A look at the images of a source before anything is decoded: what is there, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxresnet.core.errors import ClassMapError
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.class_folders import lay_out_class_folders, open_image_folder
from cxresnet.data.sources.known_presets import recognise_dataset_preset
from cxresnet.data.sources.nested import open_nested
from cxresnet.data.sources.source import AbstractSource, ScanResult
from cxresnet.data.sources.table_file import is_table_name


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a look at a source found.

    Attributes:
        classes: Images by class, in the order of the classes.
        unclaimed: Images by folder that no class claims.
        guesses: From such a folder to the class that its name resembles.
        problem: Why no image could be listed, one sentence; "" where they could.
        formats: Images by the ending of their file name, in small letters; "" for none.
        sources: Images by hospital or collection.
        patients: Number of patients that are known.
        without_patient: Images of unknown patients.
        given_splits: Names of the splits that the images were published with.
        tables: Tables that lie in the folder.
        dataset_preset: Name of the public dataset that it is; "" for none.
        left_out: Files and images that will not be read.
        warnings: Sentences for the user.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    unclaimed: Mapping[str, int] = field(default_factory=dict)
    guesses: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    formats: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    patients: int = 0
    without_patient: int = 0
    given_splits: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    dataset_preset: str = ""
    left_out: int = 0
    warnings: tuple[str, ...] = ()


def survey_folder(folder: Path, source: AbstractSource) -> Survey:
    """Look at a folder of images.

    Args:
        folder: With the images.
        source: The same, opened.

    Raises:
        SourceError: It cannot be read, or holds no image.
    """
    members = open_nested(open_image_folder(folder, use_manifest=True)).list_members().members
    known = recognise_dataset_preset(members)
    try:
        survey = _survey_scan(source.scan(), source)
    except ClassMapError as error:
        survey = _survey_unclaimed(members, source, problem=str(error))
    return replace(
        survey,
        tables=tuple(member for member in members if is_table_name(member)),
        dataset_preset="" if known is None else known.name,
    )


def _survey_scan(scan: ScanResult, source: AbstractSource) -> Survey:
    records = scan.records
    counted = Counter(record.class_name for record in records)
    return Survey(
        classes={name: counted[name] for name in source.class_map.class_names if counted[name]},
        formats=_count_formats(record.location for record in records),
        sources=dict(Counter(record.source for record in records).most_common()),
        patients=len({(one.source, one.patient_id) for one in records if one.patient_id}),
        without_patient=sum(not one.patient_id for one in records),
        given_splits=_list_splits(records),
        left_out=len(scan.rejections),
        warnings=scan.warnings,
    )


def _survey_unclaimed(members: Iterable[str], source: AbstractSource, *, problem: str) -> Survey:
    """Tell what is known where a folder or label has no class: which folders these are."""
    layout = lay_out_class_folders(members, source.class_map)
    unclaimed = Counter(one.folder for one in layout.images if one.folder)
    guesses = {name: source.class_map.suggest(name) or "" for name in unclaimed}
    counted = Counter(one.class_name for one in layout.images if one.class_name)
    return Survey(
        classes={name: counted[name] for name in source.class_map.class_names if counted[name]},
        unclaimed=dict(unclaimed.most_common()),
        guesses={name: guess for name, guess in guesses.items() if guess},
        problem=problem,
        formats=_count_formats(one.path for one in layout.images),
        without_patient=len(layout.images),
        left_out=len(layout.not_images),
    )


def _count_formats(names: Iterable[str]) -> dict[str, int]:
    endings = (name.rpartition("/")[2].rpartition(".") for name in names)
    return dict(Counter(end.casefold() if dot else "" for _, dot, end in endings).most_common())


def _list_splits(records: Iterable[ImageRecord]) -> tuple[str, ...]:
    return tuple(sorted({record.given_split for record in records} - {""}))
