"""When two names of a list mean one image: equal paths, or "x.png" and "x - Copy.jpg"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from cxresnet.data.sources.class_folders import is_image_name
from cxresnet.data.sources.names import fold_spelling
from cxresnet.data.sources.source import read_split

_COPY = re.compile(r"(?:[\s_-]*\((?:copy|\d{1,2})\)|[\s_-]+copy[\s_-]*\d{0,2})+$|^copy of (?=.)")
_SHORT_NUMBER = 6
_IMAGE_FOLDERS = {"images", "image", "imgs", "img"}
_PATIENT_FOLDER = re.compile(r"patient[\s_-]*\d+", re.IGNORECASE)


@lru_cache(maxsize=2**18)
def fold_path(path: str) -> str:
    r"""Bring the spellings of one path to one text: slashes, "./", upper and lower case.

    >>> fold_path(r".\Train\a.PNG")
    'train/a.png'
    """
    parts = path.replace("\\", "/").split("/")
    return fold_spelling("/".join(part for part in parts if part not in {"", "."}))


def find_copy_names(paths: Iterable[str]) -> list[str]:
    """Find a name for each path that is equal where the paths may mean copies of one image.

    Folders and the ending of the file do not count. What systems add to a copy, as "(1)" or
    "- Copy", counts only where no file has the name without it: "covid (1).png" and
    "covid (2).png" are numbered images, unless there is a "covid.png", too.

    Args:
        paths: As of `fold_path`.

    >>> find_copy_names(["a/x.png", "b/x (1).jpg", "y (1).png", "y (2).png"])
    ['x', 'x', 'y (1)', 'y (2)']
    """
    stems = [_find_stem(path) for path in paths]
    known = set(stems)
    bare = [_COPY.sub("", stem) for stem in stems]
    return [short if short in known else stem for short, stem in zip(bare, stems, strict=True)]


def is_short_number(path: str) -> bool:
    """Say whether a file is called by a short number, which each folder may begin anew."""
    stem = _find_stem(path)
    return stem.isdigit() and len(stem) <= _SHORT_NUMBER


def is_bare_number(path: str) -> bool:
    """Say whether a path is a short number without a folder.

    >>> [is_bare_number(path) for path in ("17.png", "train/17.png", "00000017_000.png")]
    [True, False, False]
    """
    return is_short_number(path) and not _list_folders(path)


def _find_stem(path: str) -> str:
    name = path.replace("\\", "/").rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if dot and is_image_name(name) else name


# What the folders of a path say: `chest_xray/train/PNEUMONIA/images/x.png`.


def find_folder_split(path: str) -> str:
    """Find the split that a folder of a path names; "" if none does."""
    found = (read_split(folder) for folder in reversed(_list_folders(path)))
    return next(filter(None, found), "")


def find_folder_class(path: str) -> str:
    """Find the innermost folder of a path that is neither a split nor a folder of images."""
    return next(
        (
            folder
            for folder in reversed(_list_folders(path))
            if not read_split(folder) and folder.casefold() not in _IMAGE_FOLDERS
        ),
        "",
    )


def find_folder_patient(path: str) -> str:
    """Find the patient that a folder of a path names, as "patient00001" of CheXpert; "" if none."""
    return next(filter(_PATIENT_FOLDER.fullmatch, _list_folders(path)), "")


def _list_folders(path: str) -> Sequence[str]:
    return [part for part in path.replace("\\", "/").split("/")[:-1] if part not in {"", "."}]
