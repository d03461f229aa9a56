"""One cell of a table, or one name of a folder, as the word that the manifest uses."""

from __future__ import annotations

import re

__all__ = ["read_age", "read_sex", "read_split", "read_view"]

_SPLITS = {
    "train": "train", "training": "train", "trainset": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "valset": "val",
    "test": "test", "testing": "test", "testset": "test",
}  # fmt: skip


_VIEWS = {
    "pa": "PA", "ap": "AP", "apsupine": "AP supine", "aperect": "AP erect",
    "lateral": "lateral", "lat": "lateral", "l": "lateral", "ll": "lateral", "rl": "lateral",
}  # fmt: skip


def read_split(text: str) -> str:
    """Read "Training", "valid" or "test" as "train", "val" or "test"; "" for anything else."""
    return _SPLITS.get(re.sub(r"[^a-z]+", "", text.casefold()), "")


def read_age(text: str) -> str:
    """Read an age as whole years: "058Y" → "58", "7.5" → "7", "10M" → "0"; "" if unknown.

    Ages over 120 are mistakes of typing (ChestX-ray14 has 412) and count as unknown.
    """
    match = re.fullmatch(r"\s*(\d{1,4})(?:\.\d*)?\s*([YyMmWwDd]?)\w*\s*", text)
    if match is None:
        return ""
    per_year = {"m": 12, "w": 52, "d": 365}.get(match[2].casefold(), 1)
    years = int(match[1]) // per_year
    return str(years) if years <= 120 else ""


def read_sex(text: str) -> str:
    """Read "Female", "f" or "M" as "F" or "M"; "" for anything else."""
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(text.strip().casefold(), "")


def read_view(text: str) -> str:
    """Read "pa" or "Pa" as "PA", "AP_Supine" as "AP supine"; anything else as it is written."""
    return _VIEWS.get(re.sub(r"[^a-z]+", "", text.casefold()), text.strip())
