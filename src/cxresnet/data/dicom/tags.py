"""What is taken from a DICOM header, and whether it is the header of a chest radiograph."""

from __future__ import annotations

import re
from typing import Any

import pydicom

from cxresnet.core.errors import FilmError

__all__ = ["HEADER_TAGS", "check_chest_film", "extract_tags"]

_IDENTIFIERS = ("SOPInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID")
HEADER_TAGS = (
    *_IDENTIFIERS,
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "NumberOfFrames",
    "PatientAge",
    "PatientSex",
    "ViewPosition",
)
"""Tags that are read of a header; all others are passed over."""

_RADIOGRAPHY = {"CR", "DX", "RG", "XR"}
_SECONDARY_CAPTURE = {"SC", "OT"}
_CHEST = re.compile(r"CHEST|THORAX|LUNG")
_FRONTAL_VIEWS = {"PA", "AP"}
_LATERAL_VIEW = re.compile(r"LL|RL|L?LAT|LATERAL|(LEFT|RIGHT)[ _]?LATERAL")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_OLDEST_YEARS = 90
_NOBODY = {"", "0", "NA", "NONE", "ANON", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "UNKNOWN"}
_LONGEST_DEVICE = 64


def check_chest_film(dataset: pydicom.Dataset) -> None:
    """Refuse what is not one radiograph of the chest; a lateral view is one.

    Raises:
        FilmError: "not-a-chest-film" or "several-frames". The message names the tag.
    """
    modality, body_part = _read_word(dataset, "Modality"), _read_word(dataset, "BodyPartExamined")
    is_chest = bool(_CHEST.search(body_part))
    if body_part and not is_chest:
        raise _refuse("BodyPartExamined (0018,0015) names another part of the body")
    if modality in _SECONDARY_CAPTURE and not is_chest:
        raise _refuse(
            "Modality (0008,0060) is a secondary capture and BodyPartExamined (0018,0015) is empty"
        )
    if modality not in _RADIOGRAPHY | _SECONDARY_CAPTURE:
        raise _refuse("Modality (0008,0060) is none of CR, DX, RG")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise FilmError(
            "several-frames",
            "The DICOM file holds several frames (0028,0008). Export the film alone.",
        )


def extract_tags(dataset: pydicom.Dataset) -> dict[str, Any]:
    """Take the fields of a `film.DicomHeader`; values outside a known list become ""."""
    sex = _read_word(dataset, "PatientSex")
    return {
        "identifiers": _read_identifiers(dataset),
        "view": _read_view(_read_word(dataset, "ViewPosition")),
        "age_years": _read_age(_read_word(dataset, "PatientAge")),
        "sex": sex if sex in {"F", "M"} else "",
        "device": _read_device(dataset),
    }


def _refuse(reason: str) -> FilmError:
    return FilmError(
        "not-a-chest-film", f"Not a chest radiograph: {reason}. Leave it out or mend the tag."
    )


def _read_text(dataset: pydicom.Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _read_word(dataset: pydicom.Dataset, keyword: str) -> str:
    return _read_text(dataset, keyword).upper()


def _read_identifiers(dataset: pydicom.Dataset) -> dict[str, str]:
    """Read who and what this is, without the stand-ins that all anonymised films share."""
    values = {keyword: _read_text(dataset, keyword) for keyword in _IDENTIFIERS}
    return {keyword: value for keyword, value in values.items() if value.upper() not in _NOBODY}


def _read_view(word: str) -> str:
    if not word or word in _FRONTAL_VIEWS:
        return word
    return "lateral" if _LATERAL_VIEW.fullmatch(word) else "other"


def _read_age(word: str) -> str:
    """Read years from "045Y", "018M", "002W" or "010D"; nobody is older than 90.

    Ages above 89 identify people (45 CFR 164.514(b)(2)).
    """
    found = _AGE.fullmatch(word)
    if not found:
        return ""
    years = {"D": 1 / 366, "W": 7 / 366, "M": 1 / 12, "Y": 1.0}[found[2]] * int(found[1])
    return str(min(int(years + 1e-9), _OLDEST_YEARS))


def _read_device(dataset: pydicom.Dataset) -> str:
    """Read manufacturer and model as printable text in one line."""
    maker, model = (_read_text(dataset, tag) for tag in ("Manufacturer", "ManufacturerModelName"))
    words = "".join(letter if letter.isprintable() else " " for letter in f"{maker} {model}")
    return " ".join(words.split())[:_LONGEST_DEVICE].strip()
