"""Class folders as a pure function: from the names of files to where each film belongs.

Used for folders, archives and recipes alike. A path is read folder by folder:
`chest_xray/train/PNEUMONIA/images/film.png` has a wrapper, a split, a class and a folder of images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxresnet.core.classes import ClassMap
from cxresnet.data.sources.fields import read_split

__all__ = ["Layout", "PlacedFilm", "find_mask_kind", "is_film_name", "lay_out_class_folders"]

_FILM_SUFFIXES = {
    "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "tif", "tiff", "webp", "gif", "dcm", "dicom", "",
}  # fmt: skip
_PAPER_SUFFIXES = {
    "txt", "csv", "tsv", "json", "xml", "md", "rst", "html", "htm", "pdf", "doc", "docx", "xls",
    "xlsx", "parquet", "py", "ipynb", "toml", "yaml", "yml", "log", "ini", "cfg", "bib", "sha256",
    "md5", "license",
}  # fmt: skip
_PAPER_NAMES = {"readme", "license", "licence", "copying", "dicomdir", "changelog", "makefile"}
_IMAGE_FOLDERS = {"images", "image", "imgs", "img", "films"}
_LUNG_FOLDERS = {"masks", "mask", "lungs", "lungmasks"}
_LESION_FOLDERS = {"lesions", "lesionmasks", "infectionmasks"}


@dataclass(frozen=True, kw_only=True)
class PlacedFilm:
    """One film and what its path says.

    Attributes:
        path: Of the file.
        class_name: Of its class folder; "" where no folder says.
        folder: The folder that nobody claims, where there is no class; "" for a film outside of
            all folders.
        given_split: "train", "val" or "test" after a folder of that name, else "".
        lung_mask: Path of the mask in a `masks` folder beside, else "".
        lesion_mask: Path of the mask in a `lesions` folder beside, else "".
    """

    path: str
    class_name: str
    folder: str = ""
    given_split: str = ""
    lung_mask: str = ""
    lesion_mask: str = ""


@dataclass(frozen=True)
class Layout:
    """Where every file belongs.

    Attributes:
        films: In the order of the paths.
        ignored: Films in folders that the class map leaves out.
        not_films: Files that by their name are neither a film nor a paper beside films.
    """

    films: tuple[PlacedFilm, ...]
    ignored: tuple[str, ...] = ()
    not_films: tuple[str, ...] = ()


def is_film_name(path: str) -> bool | None:
    """Tell a film by its file name: true, false, or None for a paper that lies beside films."""
    name = path.rpartition("/")[2].casefold()
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    if suffix in _PAPER_SUFFIXES or stem in _PAPER_NAMES:
        return None
    return suffix in _FILM_SUFFIXES


def lay_out_class_folders(paths: Iterable[str], class_map: ClassMap) -> Layout:
    """Find each film's class, split and masks from the names of its folders.

    The deepest folder that a class claims decides; a folder that is left out leaves out all below.

    Args:
        paths: Relative, with "/" between the parts.
        class_map: Which folder means which class.

    Returns:
        Every film, also those whose class no folder says; whether that is an error is the
        caller's to say, for a manifest may know.
    """
    films: list[str] = []
    not_films: list[str] = []
    masks: dict[str, dict[str, str]] = {"lung": {}, "lesion": {}}
    for path in paths:
        kind = find_mask_kind(path, class_map)
        is_film = is_film_name(path)
        if is_film and kind:
            masks[kind][_make_pair_key(path, class_map)] = path
        elif is_film:
            films.append(path)
        elif is_film is False:
            not_films.append(path)
    wrapper = _count_wrapper_folders(films)
    placed: list[PlacedFilm] = []
    ignored: list[str] = []
    for path in films:
        film = _place(path, class_map, wrapper=wrapper, masks=masks)
        if film is None:
            ignored.append(path)
        else:
            placed.append(film)
    return Layout(tuple(placed), tuple(ignored), tuple(not_films))


def _place(
    path: str, class_map: ClassMap, *, wrapper: int, masks: dict[str, dict[str, str]]
) -> PlacedFilm | None:
    """Place one film; None if it is left out."""
    folders = _split_folders(path)
    claims = [claim for claim in map(class_map.find, folders) if claim is not None]
    if "" in claims:
        return None
    splits = [split for split in map(read_split, folders) if split]
    key = _make_pair_key(path, class_map)
    return PlacedFilm(
        path=path,
        class_name=claims[-1] if claims else "",
        folder="" if claims else _name_unclaimed_folder(folders, wrapper=wrapper),
        given_split=splits[0] if splits else "",
        lung_mask=masks["lung"].get(key, ""),
        lesion_mask=masks["lesion"].get(key, ""),
    )


def _split_folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def _fold(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "", name.casefold())


def find_mask_kind(path: str, class_map: ClassMap) -> str:
    """Tell a mask by its folder: "lung", "lesion", or "" for anything else."""
    for folder in _split_folders(path):
        if class_map.find(folder) is None:
            if _fold(folder) in _LUNG_FOLDERS:
                return "lung"
            if _fold(folder) in _LESION_FOLDERS:
                return "lesion"
    return ""


def _make_pair_key(path: str, class_map: ClassMap) -> str:
    """Make the key that a film and its mask share: no `images` or `masks` folder, no suffix."""
    special = _IMAGE_FOLDERS | _LUNG_FOLDERS | _LESION_FOLDERS
    folders = [
        folder
        for folder in _split_folders(path)
        if class_map.find(folder) is not None or _fold(folder) not in special
    ]
    name = path.rpartition("/")[2]
    return "/".join([*folders, name.rpartition(".")[0] or name])


def _count_wrapper_folders(paths: Sequence[str]) -> int:
    """Count the folders around everything, as archives often have one."""
    if not paths:
        return 0
    first, last = _split_folders(min(paths)), _split_folders(max(paths))
    shared = 0
    for ours, theirs in zip(first, last, strict=False):
        if ours != theirs:
            break
        shared += 1
    return shared


def _name_unclaimed_folder(folders: Sequence[str], *, wrapper: int) -> str:
    """Name the folder that should have been a class: the first that is nothing else."""
    names = [
        folder
        for folder in (folders[wrapper:] or folders[-1:])
        if not read_split(folder) and _fold(folder) not in _IMAGE_FOLDERS
    ]
    return names[0] if names else ""
