"""Datasets from Kaggle, downloaded with the user's own credentials."""

from __future__ import annotations

import re
from pathlib import Path

from cxresnet.core.errors import ConfigError, MissingExtraError, SourceError
from cxresnet.data.sources.known_presets import find_dataset_preset_by_handle

KAGGLE_PREFIX = "kaggle:"
"""What a source begins with that Kaggle has."""

_ADDRESS = re.compile(r"^(https?://)?(www\.)?kaggle\.com/", re.IGNORECASE)
_PAGES = r"/(data|code|discussion|suggestions|settings|metadata|overview|rules|leaderboard)$"
_HANDLE = re.compile(r"[\w-]+/[\w-]+(/versions/\d+)?")


def is_kaggle_name(text: str) -> bool:
    """Say whether a source is named as Kaggle's: with the prefix, or by the address of its page."""
    return text.startswith(KAGGLE_PREFIX) or bool(_ADDRESS.match(text))


def normalise_handle(text: str) -> str:
    """Read "OWNER/SLUG" out of what people write: with the prefix, or the page's address.

    Raises:
        ConfigError: It is neither.

    >>> normalise_handle("kaggle:https://www.kaggle.com/datasets/nih-chest-xrays/data")
    'nih-chest-xrays/data'
    """
    address = re.split(r"[?#]", text.removeprefix(KAGGLE_PREFIX))[0].rstrip("/")
    handle = re.sub(r"^datasets/", "", _ADDRESS.sub("", address))
    handle = re.sub(r"^c/", "competitions/", handle)
    handle = re.sub(_PAGES, "", handle) if handle.count("/") > 1 else handle
    if not _HANDLE.fullmatch(handle):
        raise ConfigError(
            f"'{text}' is not of the form kaggle:OWNER/SLUG, "
            "for example kaggle:paultimothymooney/chest-xray-pneumonia."
        )
    return handle


def fetch_from_kaggle(handle: str) -> Path:
    """Download a dataset, or resume an earlier download; existing files are kept.

    Args:
        handle: "OWNER/SLUG", "OWNER/SLUG/versions/N" or "competitions/SLUG".

    Returns:
        The folder in kagglehub's cache.

    Raises:
        MissingExtraError: The extra `kaggle` is not installed.
        SourceError: It could not be fetched; says how to do it by hand.
    """
    try:
        import kagglehub  # noqa: PLC0415  an extra, and it reads credentials when imported
    except ImportError as error:
        raise MissingExtraError(
            "kaggle", needed_for=f"Downloading '{handle}' from Kaggle"
        ) from error
    kind, _, slug = handle.partition("/")
    try:
        if kind == "competitions":
            return Path(kagglehub.competition_download(slug))
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # whatever went wrong there, the way out is the same
        raise SourceError(_explain_by_hand(handle, error)) from error


def _explain_by_hand(handle: str, error: Exception) -> str:
    dataset_preset = find_dataset_preset_by_handle(handle)
    place = handle if handle.startswith("competitions/") else f"datasets/{handle}"
    page = dataset_preset.page if dataset_preset else f"https://www.kaggle.com/{place}"
    file = f"images/{dataset_preset.name if dataset_preset else handle.split('/')[1]}.zip"
    flag = f" --dataset-preset {dataset_preset.name}" if dataset_preset else ""
    return (
        f"'{handle}' could not be downloaded from Kaggle: {_explain_failure(error)}. "
        f"Download it by hand from {page}, put the zip file, unchanged, at {file}, and continue "
        "with: "
        f"cxresnet prepare {file}{flag} --out DATASET"
    )


def _explain_failure(error: Exception) -> str:
    """Say in a few words what went wrong; the library's words on a dead network fill a screen."""
    if any("ConnectionError" in kind.__name__ for kind in type(error).__mro__):
        return "it cannot be reached from here"
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
