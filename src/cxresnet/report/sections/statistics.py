"""What the films were as files, and whom they show, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxresnet.report.section import Section
from cxresnet.report.sections.combinations import (
    UNKNOWN,
    Combinations,
    count_combinations,
    name_age_band,
)
from cxresnet.report.sections.films import FilmMaterial

__all__ = ["KindRow", "SpreadRow", "StatisticsView", "build_statistics_section"]

_MOST_VALUES = 10
_MOST_FILMS = 1000
"""So many training films tell how grey levels spread."""


@dataclass(frozen=True)
class KindRow:
    """Films of one kind by class.

    Attributes:
        kind: What is told apart, for example "view".
        value: For example "PA".
        counts: Films, one a class.
        shares: Of the class's films, 0 to 1.
    """

    kind: str
    value: str
    counts: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class SpreadRow:
    """How a number spreads over the films of each class.

    Attributes:
        title: For people, with the unit.
        cells: For each class (5th percentile, median, 95th percentile); None without films.
    """

    title: str
    cells: tuple[tuple[float, float, float] | None, ...]


@dataclass(frozen=True)
class StatisticsView:
    """What the template shows."""

    class_names: tuple[str, ...]
    kinds: tuple[KindRow, ...]
    spreads: tuple[SpreadRow, ...]
    combinations: Combinations


def build_statistics_section(material: FilmMaterial) -> Section:
    """Build the section; of films, some of the training split are read, for their grey levels."""
    manifest, class_names = material.manifest, material.class_names
    films = manifest.assign(
        age=[name_age_band(age) for age in manifest["age_years"]],
        file=manifest["file_format"] + " " + manifest["file_mode"],
        pixels=manifest["file_width"] * manifest["file_height"],
    )
    films["bytes_per_pixel"] = films["file_bytes"] / films["pixels"].clip(lower=1)
    films["aspect"] = films["file_width"] / films["file_height"].clip(lower=1)
    kinds = [
        row
        for kind, column in (("view", "view"), ("sex", "sex"), ("age", "age"), ("file", "file"))
        for row in _count_kinds(films, kind, column=column, class_names=class_names)
    ]
    spreads = tuple(
        SpreadRow(title, tuple(_measure_spread(films, column, name) for name in class_names))
        for title, column in (
            ("width, px", "file_width"),
            ("height, px", "file_height"),
            ("width / height", "aspect"),
            ("bytes per pixel", "bytes_per_pixel"),
            ("grey of the border, 0 to 1", "border_grey"),
        )
    )
    view = StatisticsView(
        class_names=tuple(class_names),
        kinds=tuple(kinds),
        spreads=spreads + _measure_greys(material),
        combinations=count_combinations(manifest),
    )
    title = "What the files were, before they were made alike"
    return Section("statistics", title, "Files", view=view)


def _measure_greys(material: FilmMaterial) -> tuple[SpreadRow, ...]:
    """Measure grey levels of prepared films; the test split stays sealed."""
    rows = np.unique(np.linspace(0, len(material.training) - 1, _MOST_FILMS).round().astype(int))
    rows = rows if len(material.training) else rows[:0]
    films = [material.training_films[row] / 255 for row in rows.tolist()]
    table = pd.DataFrame(
        {
            "class_name": material.training["class_name"].to_numpy()[rows],
            "mean": [film.mean() for film in films],
            "spread": [film.std() for film in films],
        }
    )
    names = material.class_names
    return tuple(
        SpreadRow(title, tuple(_measure_spread(table, column, name) for name in names))
        for title, column in (
            ("mean grey of the prepared film, 0 to 1", "mean"),
            ("spread (sd) of its grey", "spread"),
        )
        if films
    )


def _count_kinds(
    films: pd.DataFrame, kind: str, *, column: str, class_names: Sequence[str]
) -> list[KindRow]:
    values = films[column].str.strip().replace("", UNKNOWN)
    totals = values.value_counts()
    shown = sorted(totals.index[:_MOST_VALUES])
    if shown == [UNKNOWN]:
        return []
    table = pd.crosstab(values, films["class_name"])
    sizes = films["class_name"].value_counts()
    rows = []
    for value in shown:
        counts = tuple(
            int(table.loc[value, name]) if name in table.columns else 0 for name in class_names
        )
        shares = tuple(
            count / max(1, int(sizes.get(name, 0)))
            for count, name in zip(counts, class_names, strict=True)
        )
        rows.append(KindRow(kind, str(value), counts, shares))
    return rows


def _measure_spread(
    films: pd.DataFrame, column: str, class_name: str
) -> tuple[float, float, float] | None:
    values = films.loc[films["class_name"] == class_name, column].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, middle, high = np.percentile(values, [5, 50, 95])
    return float(low), float(middle), float(high)
