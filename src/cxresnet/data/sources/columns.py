"""Which column of somebody's table means what, by guess or as the user says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.data.sources.fields import read_age, read_sex, read_split, read_view
from cxresnet.data.sources.table_file import Table

__all__ = ["COLUMN_ROLES", "FilmRow", "find_columns", "parse_columns", "read_film_rows"]

COLUMN_ROLES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path", "file", "filename", "filepath", "imagepath", "imagefile", "imageindex", "image",
        "img", "imagename", "imageid", "imagefilename", "dicompath",
    ),
    "class": (
        "class", "classname", "label", "labels", "finding", "findings", "findinglabels",
        "diagnosis", "category", "classlabel", "target",
    ),
    "patient": ("patientid", "patient", "subjectid", "subject", "patientnumber", "pid"),
    "source": ("source", "hospital", "site", "institution", "collection", "dataset", "origin"),
    "view": ("view", "viewposition", "projection"),
    "age": ("ageyears", "age", "patientage"),
    "sex": ("sex", "gender", "patientsex", "patientgender"),
    "split": ("split", "givensplit", "subset", "partition"),
    "mask": ("lungmask", "mask", "maskpath", "lungmaskpath", "lungs"),
    "lesion_mask": ("lesionmask", "lesions", "lesionmaskpath"),
}  # fmt: skip
"""From what a column can mean to the headings that we take for it, likeliest first."""


@dataclass(frozen=True, kw_only=True)
class FilmRow:
    """One row of a table, in our words; "" for what it does not say.

    Attributes:
        number: As an editor shows it; the heading is row 1.
        path: As written.
        label: As written.
        patient_id: As written.
        source: As written.
        view: "PA", "AP", "lateral" and the like; another one as written.
        age_years: Whole years.
        sex: "F", "M" or "".
        given_split: "train", "val", "test" or "".
        lung_mask: Path, as written.
        lesion_mask: Path, as written.
    """

    number: int
    path: str
    label: str
    patient_id: str
    source: str
    view: str
    age_years: str
    sex: str
    given_split: str
    lung_mask: str
    lesion_mask: str


def find_columns(table: Table, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Find the column of each role that the table has.

    Args:
        table: With its headings.
        given: From role (see `COLUMN_ROLES`) to the heading, where the guess would be wrong; an
            empty heading means: the table does not have it, whatever its columns are called.

    Returns:
        From role to the number of its column, from 0.

    Raises:
        ConfigError: `given` names an unknown role.
        SourceError: `given` names a heading that the table does not have.
    """
    for role in given or {}:
        _check_role(role)
    folded = [_fold(column) for column in table.columns]
    found: dict[str, int] = {}
    for role, guesses in COLUMN_ROLES.items():
        if given and role in given:
            if given[role]:
                found[role] = _find_heading(table, given[role])
            continue
        for guess in guesses:
            if guess in folded:
                found[role] = folded.index(guess)
                break
    return found


def parse_columns(text: str) -> dict[str, str]:
    """Read `--columns path=file,class=finding` as `find_columns` takes it.

    Args:
        text: Pairs `role=heading` with commas between; `role=` says that there is no such column.

    Raises:
        ConfigError: A pair has no "=", or the role is unknown.

    >>> parse_columns("path=Image Index,source=")
    {'path': 'Image Index', 'source': ''}
    """
    columns: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        role, equals, heading = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ConfigError(
                f"--columns: '{pair}' is not of the form role=heading; "
                "write for example --columns path=file,class=finding."
            )
        _check_role(role)
        columns[role] = heading
    return columns


def _check_role(role: str) -> None:
    if role not in COLUMN_ROLES:
        raise ConfigError(f"'{role}' is no column we know. Known: {', '.join(COLUMN_ROLES)}.")


def read_film_rows(table: Table, columns: Mapping[str, int]) -> list[FilmRow]:
    """Read every row in our words.

    Args:
        table: The table.
        columns: As of `find_columns`.
    """

    def cell(row: tuple[str, ...], role: str) -> str:
        return row[columns[role]] if role in columns else ""

    return [
        FilmRow(
            number=number,
            path=cell(row, "path"),
            label=cell(row, "class"),
            patient_id=cell(row, "patient"),
            source=cell(row, "source"),
            view=read_view(cell(row, "view")),
            age_years=read_age(cell(row, "age")),
            sex=read_sex(cell(row, "sex")),
            given_split=read_split(cell(row, "split")),
            lung_mask=cell(row, "mask"),
            lesion_mask=cell(row, "lesion_mask"),
        )
        for row, number in zip(table.rows, table.numbers, strict=True)
    ]


def _find_heading(table: Table, heading: str) -> int:
    folded = [_fold(column) for column in table.columns]
    if _fold(heading) in folded:
        return folded.index(_fold(heading))
    close = difflib.get_close_matches(heading, table.columns, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise SourceError(
        f"'{table.name}' has no column '{heading}'.{hint} "
        f"It has: {', '.join(column for column in table.columns if column)}."
    )


def _fold(heading: str) -> str:
    return re.sub(r"[^0-9a-z]+", "", heading.casefold())
