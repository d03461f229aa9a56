"""The manifest: one row an image, between the world and everything that learns or judges.

Row i of the manifest is row i of `images.npy`. See `safe_csv.py` for how texts are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxresnet.core.errors import DatasetError
from cxresnet.data.safe_csv import make_printable, read_safe_csv, write_safe_csv

__all__ = [
    "MANIFEST_COLUMNS",
    "SPLIT_NAMES",
    "build_manifest",
    "compute_row_hashes",
    "read_manifest",
    "write_manifest",
]

SPLIT_NAMES = ("train", "val", "test")

_TEXT, _WHOLE, _REAL = "str", "int64", "float64"

MANIFEST_COLUMNS: Mapping[str, str] = {
    "image_id": _TEXT,
    "class_name": _TEXT,
    "patient_id": _TEXT,
    "source": _TEXT,
    "split": _TEXT,
    "fold": _WHOLE,
    "group_id": _WHOLE,
    "cluster_id": _WHOLE,
    "view": _TEXT,
    "age_years": _TEXT,
    "sex": _TEXT,
    "given_split": _TEXT,
    "file_width": _WHOLE,
    "file_height": _WHOLE,
    "file_format": _TEXT,
    "file_mode": _TEXT,
    "file_bytes": _WHOLE,
    "border_grey": _REAL,
    "content_sha256": _TEXT,
    "film_sha256": _TEXT,
    "lung_mask_row": _WHOLE,
    "lesion_mask_row": _WHOLE,
}
"""From column to its type, in the order of the file."""

_WAY_OUT = "Prepare the dataset again with 'cxresnet prepare'."


def build_manifest(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """Build a manifest from its columns, each with its type.

    Args:
        columns: From name to values, all columns of `MANIFEST_COLUMNS`, of equal length.

    Returns:
        The manifest in the order of `MANIFEST_COLUMNS`.

    Raises:
        DatasetError: A column is missing or has values of another type, an image stands twice, or a
            row has no class or no known split.
    """
    missing = [name for name in MANIFEST_COLUMNS if name not in columns]
    if missing:
        raise DatasetError(f"The manifest has no column {', '.join(missing)}. {_WAY_OUT}")
    frame = pd.DataFrame(
        {
            name: _convert(columns[name], name=name, kind=kind)
            for name, kind in MANIFEST_COLUMNS.items()
        }
    )
    _check(frame)
    return frame


def write_manifest(path: Path, frame: pd.DataFrame) -> Path:
    """Write a manifest whole or not at all, the same bytes on every machine; returns the path.

    Raises:
        DatasetError: The frame is no manifest; see `build_manifest`.
        StorageError: The file cannot be written.
    """
    checked = build_manifest(_get_columns(frame))
    rows = zip(*(checked[name].tolist() for name in MANIFEST_COLUMNS), strict=True)
    return write_safe_csv(path, MANIFEST_COLUMNS, rows)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest; unknown texts are "", never not-a-number.

    Raises:
        DatasetError: The file is missing or is no manifest; says what is wrong.
    """
    try:
        names, columns = read_safe_csv(path)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no manifest '{path}'. {_WAY_OUT}") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"The manifest '{path}' cannot be read: {error}. {_WAY_OUT}") from error
    return build_manifest(dict(zip(names, columns, strict=True)))


def compute_row_hashes(frame: pd.DataFrame) -> list[str]:
    """Compute 16 hexadecimal digits a row, so that a row changed by hand can be named."""
    rows = zip(*_get_columns(frame).values(), strict=True)
    texts = ("\x1f".join(str(value) for value in row) for row in rows)
    return [hashlib.sha256(text.encode("utf-8")).hexdigest()[:16] for text in texts]


def _get_columns(frame: pd.DataFrame) -> dict[str, Iterable[Any]]:
    return {str(name): frame[name].tolist() for name in frame.columns}


def _convert(values: Iterable[Any], *, name: str, kind: str) -> pd.Series[Any]:
    if kind == _TEXT:
        return pd.Series([make_printable(value) for value in values], dtype="str")
    try:
        if kind == _WHOLE:
            return pd.Series([int(value) for value in values], dtype="int64")
        return pd.Series([float(value) for value in values], dtype="float64")
    except (TypeError, ValueError) as error:
        wanted = "whole numbers" if kind == _WHOLE else "numbers"
        raise DatasetError(
            f"The manifest's column {name} holds something else than {wanted}: {error}. {_WAY_OUT}"
        ) from error


def _check(frame: pd.DataFrame) -> None:
    image_ids = frame["image_id"]
    if image_ids.duplicated().any():
        twice = image_ids[image_ids.duplicated()].iloc[0]
        raise DatasetError(f"The image '{twice}' stands twice in the manifest. {_WAY_OUT}")
    for row in np.flatnonzero(frame["class_name"].to_numpy() == "")[:1]:
        raise DatasetError(f"The image '{image_ids.iloc[row]}' has no class. {_WAY_OUT}")
    strange = ~frame["split"].isin(SPLIT_NAMES).to_numpy()
    for row in np.flatnonzero(strange)[:1]:
        raise DatasetError(
            f"The image '{image_ids.iloc[row]}' is in the split '{frame['split'].iloc[row]}'; "
            f"known are {', '.join(SPLIT_NAMES)}. {_WAY_OUT}"
        )
