"""What the images were as files, and whom they show, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxresnet.report.artifacts import DatasetArtifacts
from cxresnet.report.registry import register_section

# Every combination of class, source, split, view, age and sex, and how many images it has.


UNKNOWN = "not recorded"

_COLUMNS = ("class_name", "source", "split", "view", "age", "sex")
_MOST_ROWS = 60
_OLDEST_BAND = 90


@dataclass(frozen=True)
class CombinationRow:
    """One combination: its class, source, split, view, age and sex, and its images."""

    kinds: tuple[str, ...]
    images: int


@dataclass(frozen=True)
class Combinations:
    """The most frequent combinations, and what is not shown.

    Attributes:
        headings: Of the kinds.
        rows: The most frequent first.
        rest: How many combinations are not shown.
        rest_images: Images in those.
    """

    headings: tuple[str, ...]
    rows: tuple[CombinationRow, ...]
    rest: int
    rest_images: int


def count_combinations(manifest: pd.DataFrame) -> Combinations:
    """Count images by all recorded properties at once; what is not recorded is left out."""
    images = manifest.assign(age=[name_age_band(age) for age in manifest["age_years"]])
    texts = {name: images[name].str.strip().replace("", UNKNOWN) for name in _COLUMNS}
    recorded = [name for name in _COLUMNS if (texts[name] != UNKNOWN).any()]
    counts = pd.DataFrame(texts)[recorded].value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    shown, rest = counts.iloc[:_MOST_ROWS], counts.iloc[_MOST_ROWS:]
    return Combinations(
        headings=tuple(name.removesuffix("_name") for name in recorded),
        rows=tuple(
            CombinationRow(tuple(map(str, values)), int(count))
            for values, count in zip(shown.index, shown, strict=True)
        ),
        rest=len(rest),
        rest_images=int(rest.sum()),
    )


def name_age_band(age_years: str) -> str:
    """Name the ten years that an age lies in; what is no age is unknown."""
    if not age_years.isdigit():
        return UNKNOWN
    decade = 10 * (int(age_years) // 10)
    return f"{_OLDEST_BAND} and older" if decade >= _OLDEST_BAND else f"{decade}–{decade + 9}"


_MOST_VALUES = 10
_MAX_IMAGES = 1000
"""So many training images suffice for the distribution of grey levels."""


@dataclass(frozen=True)
class KindRow:
    """Images of one kind by class.

    Attributes:
        kind: The property, for example "view".
        value: For example "PA".
        counts: Images, one a class.
        shares: Of the class's images, 0 to 1.
    """

    kind: str
    value: str
    counts: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class DistributionRow:
    """How a number spreads over the images of each class.

    Attributes:
        title: For people, with the unit.
        cells: For each class (5th percentile, median, 95th percentile); None without images.
    """

    title: str
    cells: tuple[tuple[float, float, float] | None, ...]


@dataclass(frozen=True)
class StatisticsView:
    """What the template shows."""

    class_names: tuple[str, ...]
    kinds: tuple[KindRow, ...]
    distributions: tuple[DistributionRow, ...]
    combinations: Combinations


@register_section(
    "statistics",
    title="The files before preprocessing",
    short_title="Files",
    order=20,
    needs=("dataset_artifacts",),
    pages=("data",),
)
def build_statistics_view(artifacts: DatasetArtifacts) -> StatisticsView:
    """Count by class; some training images are read for their grey levels."""
    manifest, class_names = artifacts.manifest, artifacts.class_names
    images = manifest.assign(
        age=[name_age_band(age) for age in manifest["age_years"]],
        file=manifest["file_format"] + " " + manifest["file_mode"],
        pixels=manifest["file_width"] * manifest["file_height"],
    )
    images["bytes_per_pixel"] = images["file_bytes"] / images["pixels"].clip(lower=1)
    images["aspect"] = images["file_width"] / images["file_height"].clip(lower=1)
    kinds = [
        row
        for kind, column in (("view", "view"), ("sex", "sex"), ("age", "age"), ("file", "file"))
        for row in _count_kinds(images, kind, column=column, class_names=class_names)
    ]
    distributions = tuple(
        DistributionRow(
            title, tuple(_compute_percentiles(images, column, name) for name in class_names)
        )
        for title, column in (
            ("width, px", "file_width"),
            ("height, px", "file_height"),
            ("width / height", "aspect"),
            ("bytes per pixel", "bytes_per_pixel"),
            ("mean grey of the border, 0 to 1", "border_grey"),
        )
    )
    return StatisticsView(
        class_names=tuple(class_names),
        kinds=tuple(kinds),
        distributions=distributions + _measure_greys(artifacts),
        combinations=count_combinations(manifest),
    )


def _measure_greys(artifacts: DatasetArtifacts) -> tuple[DistributionRow, ...]:
    """Measure grey levels of prepared images; the test split stays sealed."""
    rows = np.unique(np.linspace(0, len(artifacts.training) - 1, _MAX_IMAGES).round().astype(int))
    rows = rows if len(artifacts.training) else rows[:0]
    images = [artifacts.training_images[row] / 255 for row in rows.tolist()]
    table = pd.DataFrame(
        {
            "class_name": artifacts.training["class_name"].to_numpy()[rows],
            "mean": [image.mean() for image in images],
            "spread": [image.std() for image in images],
        }
    )
    names = artifacts.class_names
    return tuple(
        DistributionRow(title, tuple(_compute_percentiles(table, column, name) for name in names))
        for title, column in (
            ("mean grey of the prepared image, 0 to 1", "mean"),
            ("standard deviation of its grey", "spread"),
        )
        if images
    )


def _count_kinds(
    images: pd.DataFrame, kind: str, *, column: str, class_names: Sequence[str]
) -> list[KindRow]:
    values = images[column].str.strip().replace("", UNKNOWN)
    totals = values.value_counts()
    shown = sorted(totals.index[:_MOST_VALUES])
    if shown == [UNKNOWN]:
        return []
    table = pd.crosstab(values, images["class_name"])
    sizes = images["class_name"].value_counts()
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


def _compute_percentiles(
    images: pd.DataFrame, column: str, class_name: str
) -> tuple[float, float, float] | None:
    values = images.loc[images["class_name"] == class_name, column].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, middle, high = np.percentile(values, [5, 50, 95])
    return float(low), float(middle), float(high)
