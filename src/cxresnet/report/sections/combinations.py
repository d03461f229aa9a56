"""Every combination of class, source, split, view, age and sex, and how many films it has."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["CombinationRow", "Combinations", "count_combinations", "name_age_band"]

UNKNOWN = "not said"

_COLUMNS = ("class_name", "source", "split", "view", "age", "sex")
_MOST_ROWS = 60
_OLDEST_BAND = 90


@dataclass(frozen=True)
class CombinationRow:
    """One combination: its class, source, split, view, age and sex, and its films."""

    kinds: tuple[str, ...]
    films: int


@dataclass(frozen=True)
class Combinations:
    """The most frequent combinations, and what is not shown.

    Attributes:
        headings: Of the kinds.
        rows: The most frequent first.
        rest: How many combinations are not shown.
        rest_films: Films in those.
    """

    headings: tuple[str, ...]
    rows: tuple[CombinationRow, ...]
    rest: int
    rest_films: int


def count_combinations(manifest: pd.DataFrame) -> Combinations:
    """Count films by all that the manifest says of them at once; what nobody says is left out."""
    films = manifest.assign(age=[name_age_band(age) for age in manifest["age_years"]])
    texts = {name: films[name].str.strip().replace("", UNKNOWN) for name in _COLUMNS}
    told = [name for name in _COLUMNS if (texts[name] != UNKNOWN).any()]
    counts = pd.DataFrame(texts)[told].value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    shown, rest = counts.iloc[:_MOST_ROWS], counts.iloc[_MOST_ROWS:]
    return Combinations(
        headings=tuple(name.removesuffix("_name") for name in told),
        rows=tuple(
            CombinationRow(tuple(map(str, values)), int(count))
            for values, count in zip(shown.index, shown, strict=True)
        ),
        rest=len(rest),
        rest_films=int(rest.sum()),
    )


def name_age_band(age_years: str) -> str:
    """Name the ten years that an age lies in; what is no age is unknown."""
    if not age_years.isdigit():
        return UNKNOWN
    decade = 10 * (int(age_years) // 10)
    return f"{_OLDEST_BAND} and older" if decade >= _OLDEST_BAND else f"{decade}–{decade + 9}"
