"""Metadata of a DICOM header, and whether it is the header of a chest radiograph."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxresnet.core.errors import ConfigError, ImageError
from cxresnet.core.files import explain_storage_errors
from cxresnet.core.labels import is_placeholder
from cxresnet.data.decode.dicom.devices import name_device

if TYPE_CHECKING:
    import pydicom  # an extra: whoever has no DICOM needs pseudonyms all the same

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
    "PhotometricInterpretation",
    "SOPClassUID",
    "SpecificCharacterSet",
    "ViewPosition",
)
"""Tags that are read of a header; all others are passed over."""

_RADIOGRAPHY = {"CR", "DR", "DX", "RG", "XR"}
_SECONDARY_CAPTURE = {"SC", "OT"}
_RADIOGRAPH_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # digital radiography, for presentation and for processing
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture, and what begins so
)
_GREY = {"", "MONOCHROME1", "MONOCHROME2"}
_CHEST = re.compile(
    r"CHEST|THORA|TORA[XCKS]|LUNG|PECHO|BRUST|POITRINE|PULM|POUMON|POLMON|BORST|BROST|BRYST|KEUHKO"
    r"|PEITO|KLATKA|HRUDN|MELLKAS|GOGUS|ΘΩΡΑΚ|ГРУДН|ЛЕГК|胸|肺|흉부|صدر"
)
"""The chest or the lungs in the languages of hospitals, without accents."""
_SPINE = re.compile(r"SPINE|WIRBEL|COLUMN|COLUNA|COLONN|RACHIS|VERTEB|WERVEL|KREGOSLUP")
"""The spine of the chest, which is no chest image."""
_FRONTAL_VIEWS = {"PA", "AP"}
_LATERAL_VIEW = re.compile(r"LL|RL|L?LAT|LATERAL|(LEFT|RIGHT)[ _]?LATERAL")
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_OLDEST_YEARS = 90


def check_chest_radiograph(
    dataset: pydicom.Dataset, *, any_body_part: bool = False
) -> tuple[str, ...]:
    """Refuse what is not one radiograph of the chest; a lateral view is one.

    A file without the tags that would tell, as de-identified sets have them, is taken for one.

    Args:
        dataset: At least its header.
        any_body_part: Do not ask BodyPartExamined.

    Returns:
        Notes, where tags are absent.

    Raises:
        ImageError: "not-a-chest-radiograph" or "multi-frame". The message names the tag.
    """
    modality, body_part = _read_word(dataset, "Modality"), _read_body_part(dataset)
    _check_modality(dataset, modality)
    if not any_body_part:
        _check_body_part(modality, body_part)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ImageError(
            "multi-frame",
            "The DICOM file holds several frames (0028,0008). Export the image alone.",
        )
    if modality:
        return ()
    absent = (
        "Modality (0008,0060) is"
        if body_part
        else ("Modality (0008,0060) and BodyPartExamined (0018,0015) are")
    )
    return (f"{absent} absent; the image was taken for a chest radiograph.",)


def _check_modality(dataset: pydicom.Dataset, modality: str) -> None:
    """Refuse another modality; where none is stated, another class of images, and colour."""
    if modality and modality not in _RADIOGRAPHY | _SECONDARY_CAPTURE:
        raise _refuse("Modality (0008,0060) is none of CR, DR, DX, RG, XR")
    kind = _read_text(dataset, "SOPClassUID")
    is_radiograph = kind in _RADIOGRAPH_CLASSES or kind.startswith(f"{_RADIOGRAPH_CLASSES[-1]}.")
    if not modality and kind and not is_radiograph:
        raise _refuse("SOPClassUID (0008,0016) is that of another kind of image")
    if not modality and _read_word(dataset, "PhotometricInterpretation") not in _GREY:
        raise _refuse("Modality (0008,0060) is absent and the image is not grey")


def _check_body_part(modality: str, body_part: str) -> None:
    is_chest = bool(_CHEST.search(body_part)) and not _SPINE.search(body_part)
    if body_part and not is_chest:
        raise _refuse(
            "BodyPartExamined (0018,0015) names another part of the body", way="--any-body-part"
        )
    if modality in _SECONDARY_CAPTURE and not is_chest:
        raise _refuse(
            "Modality (0008,0060) is a secondary capture and BodyPartExamined (0018,0015) is empty",
            way="--any-body-part",
        )


def extract_tags(dataset: pydicom.Dataset) -> dict[str, Any]:
    """Take the fields of a `image.DicomHeader`; values outside a known list become ""."""
    sex = _read_word(dataset, "PatientSex")
    return {
        "identifiers": _read_identifiers(dataset),
        "view": _read_view(_read_word(dataset, "ViewPosition")),
        "age_years": _read_age(_read_word(dataset, "PatientAge")),
        "sex": sex if sex in {"F", "M"} else "",
        "device": name_device(
            _read_text(dataset, "Manufacturer"), _read_text(dataset, "ManufacturerModelName")
        ),
    }


def _refuse(reason: str, *, way: str = "") -> ImageError:
    remedy = f"If it is one, read it with {way}." if way else "Leave it out or correct the tag."
    return ImageError("not-a-chest-radiograph", f"Not a chest radiograph: {reason}. {remedy}")


def _read_body_part(dataset: pydicom.Dataset) -> str:
    """Read the part of the body without accents, in whichever encoding it was written.

    The standard allows plain ASCII here, so pydicom reads everything else as Latin-1.
    """
    from pydicom.charset import convert_encodings  # noqa: PLC0415  an extra

    text = _read_text(dataset, "BodyPartExamined")
    stated = convert_encodings(dataset.get("SpecificCharacterSet"))
    for encoding in ("utf-8", *stated):
        with contextlib.suppress(UnicodeError, LookupError):
            text = text.encode("latin-1").decode(encoding)
            break
    letters = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFKC", plain).upper()


def _read_text(dataset: pydicom.Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _read_word(dataset: pydicom.Dataset, keyword: str) -> str:
    return _read_text(dataset, keyword).upper()


def _read_identifiers(dataset: pydicom.Dataset) -> dict[str, str]:
    """Read who and what this is, without the placeholders that all anonymised images share."""
    values = {keyword: _read_text(dataset, keyword) for keyword in _IDENTIFIERS}
    return {keyword: value for keyword, value in values.items() if not is_placeholder(value)}


def _read_view(word: str) -> str:
    if not word or word in _FRONTAL_VIEWS:
        return word
    return "lateral" if _LATERAL_VIEW.fullmatch(word) else "other"


def _read_age(word: str) -> str:
    """Read years from "045Y", "018M", "002W" or "010D"; at most 90.

    Ages above 89 identify people (45 CFR 164.514(b)(2)).
    """
    found = _AGE.fullmatch(word)
    if not found:
        return ""
    years = {"D": 1 / 366, "W": 7 / 366, "M": 1 / 12, "Y": 1.0}[found[2]] * int(found[1])
    return str(min(int(years + 1e-9), _OLDEST_YEARS))


# Pseudonyms: one person has one pseudonym everywhere, and only the key leads back.
#
# A plain hash of a hospital number can be undone by hashing all numbers; a keyed one cannot. The
# key belongs to the user and not to a dataset, so that a patient with images in two folders gets
# one pseudonym. It never leaves the machine: no dataset, run or report holds it.


KEY_FILE_VARIABLE = "CXRESNET_KEY_FILE"
"""Environment variable: where the key is, if not in the user's own configuration folder."""

_KEY_BYTES = 32
_SHORTEST_KEY_BYTES = 16
_PSEUDONYM_DIGITS = 16


def pseudonymise(value: str, *, key: bytes) -> str:
    """Replace an identifier by a word that only the key's holder can compute.

    Args:
        value: For example a patient's number. Say before it what it is ("patient:123"), so that
            equal numbers of different things get different words.
        key: At least 16 secret bytes, as of `load_key`.

    Returns:
        16 hexadecimal digits of HMAC-SHA256; two of a million values are alike with a chance of
        one in 36 million.

    Raises:
        ConfigError: The key is too short to be secret.

    >>> pseudonymise("patient:1", key=bytes(32)) == pseudonymise("patient:1", key=bytes(32))
    True
    """
    if len(key) < _SHORTEST_KEY_BYTES:
        raise ConfigError(
            f"The key for pseudonyms has {len(key)} bytes; it needs at least "
            f"{_SHORTEST_KEY_BYTES}. Remove its file to get a new one."
        )
    message = value.encode("utf-8", "surrogateescape")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_PSEUDONYM_DIGITS]


def load_key() -> bytes:
    """Read the user's key, or make one at the first use, readable by its owner alone.

    It lies in the file that `$CXRESNET_KEY_FILE` names, else in `cxresnet/pseudonym.key` of the
    user's configuration folder.

    Raises:
        StorageError: The key can be neither read nor written.
    """
    path = _find_key_path()
    with explain_storage_errors(path):
        if not path.exists():
            _create_key(path)
        return path.read_bytes()


def _find_key_path() -> Path:
    named = os.environ.get(KEY_FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "cxresnet" / "pseudonym.key"


def _create_key(path: Path) -> None:
    """Write a new key beside its place and link it there; of two at once, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        draft.write_bytes(secrets.token_bytes(_KEY_BYTES))
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
