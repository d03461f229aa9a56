"""Image records of the sources, tables that are safe to open, and the manifest of a dataset."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxresnet.core.errors import DatasetError
from cxresnet.core.files import write_text
from cxresnet.core.printable import make_printable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One image as its source describes it. An empty string means "not recorded".

    Attributes:
        image_id: Unique in the source; by default the path of the file relative to its root.
        location: What the source needs to read the image: a relative path, a member, a row number.
        class_name: One of the class map's names.
        source: Where the image comes from: a hospital, a collection, a set of phantoms.
        patient_id: Whose image it is; "" if it is not recorded.
        given_split: "train", "val" or "test" as published with the images.
        view: "PA", "AP", "lateral" and the like.
        age_years: As given, digits only.
        sex: "F", "M" or "".
        lung_mask: Location of the lung mask in the same source.
        lesion_mask: Location of the lesion mask (known for phantoms).
    """

    image_id: str
    location: str
    class_name: str
    source: str
    patient_id: str = ""
    given_split: str = ""
    view: str = ""
    age_years: str = ""
    sex: str = ""
    lung_mask: str = ""
    lesion_mask: str = ""


# Tables must not run as formulas in a spreadsheet, and must come back exactly as they were. A text
# that starts like a formula is written with an apostrophe before it, which is removed on reading.
# Every text is in quotes; without them, `csv` would leave a bare carriage return.

_FORMULA_STARTS = (
    *("=", "+", "-", "@", "\t", "\r", "\n", "\0", "'"),
    *(
        "\uff1d",
        "\uff0b",
        "\uff0d",
        "\uff20",
    ),  # the same in full width
)
_UNSEEN = " \u00a0\u3000\u200c\u200d"
"""What a spreadsheet may pass over at the start of a cell."""


def write_safe_csv(path: Path, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Write a table whole or not at all; returns the path.

    Raises:
        StorageError: The file cannot be written.
    """
    return write_text(path, format_safe_csv(names, rows))


def format_safe_csv(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Format a table as `write_safe_csv` writes it."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(map(_shield, names))
    writer.writerows([_shield(value) for value in row] for row in rows)
    return stream.getvalue()


def read_safe_csv(path: Path) -> tuple[list[str], list[Sequence[str]]]:
    """Read the names of the columns, and the columns; every value is a text.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no table: not UTF-8, ragged, without a header or badly quoted.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            names, *rows = csv.reader(stream, strict=True)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    columns = list(zip(*rows, strict=True)) or [() for _ in names]
    if len(columns) != len(names):
        raise ValueError(f"{len(names)} names of columns, but {len(columns)} columns")
    unshielded: list[Sequence[str]] = [
        [value.removeprefix("'") for value in column] for column in columns
    ]
    return [name.removeprefix("'") for name in names], unshielded


def _shield(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", errors="backslashreplace").decode("utf-8")
    is_read = any(each.startswith(_FORMULA_STARTS) for each in (text, text.lstrip(_UNSEEN)))
    return f"'{text}" if is_read else text


# Row i of the manifest describes row i of `images.npy`.

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
    "flat_patch_share": _REAL,
    "bandwidth_share": _REAL,
    "block_edge_strength": _REAL,
    "content_sha256": _TEXT,
    "pixels_sha256": _TEXT,
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
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed to predict

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
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed to predict

    if kind == _TEXT:
        return pd.Series([make_printable(str(value)) for value in values], dtype="str")
    try:
        if kind == _WHOLE:
            return pd.Series([int(value) for value in values], dtype="int64")
        return pd.Series([float(value) for value in values], dtype="float64")
    except (TypeError, ValueError, OverflowError) as error:
        wanted = "whole numbers" if kind == _WHOLE else "numbers"
        raise DatasetError(
            f"The manifest's column {name} holds something else than {wanted}: {error}. {_WAY_OUT}"
        ) from error


def _check(frame: pd.DataFrame) -> None:
    image_ids = frame["image_id"]
    if image_ids.duplicated().any():
        twice = image_ids[image_ids.duplicated()].iloc[0]
        raise DatasetError(f"The image '{twice}' is in the manifest twice. {_WAY_OUT}")
    for row in np.flatnonzero(frame["class_name"].to_numpy() == "")[:1]:
        raise DatasetError(f"The image '{image_ids.iloc[row]}' has no class. {_WAY_OUT}")
    strange = ~frame["split"].isin(SPLIT_NAMES).to_numpy()
    for row in np.flatnonzero(strange)[:1]:
        raise DatasetError(
            f"The image '{image_ids.iloc[row]}' is in the split '{frame['split'].iloc[row]}'; "
            f"known are {', '.join(SPLIT_NAMES)}. {_WAY_OUT}"
        )
