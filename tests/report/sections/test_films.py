"""The films are counted right, and only training films are shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from cxresnet.report.sections.films import (
    FilmMaterial,
    SplitCell,
    build_films_section,
    build_films_view,
    count_rejected,
)


def test_by_hand_films_and_groups_by_class_and_split(film_material: FilmMaterial) -> None:
    view = build_films_view(film_material)
    normal = view.classes[0]
    # Rows 0 and 3 train, 6 val, 9 test; groups are row // 2: 0, 1, 3, 4.
    assert normal.total == SplitCell(films=4, groups=4)
    assert normal.splits == (SplitCell(2, 2), SplitCell(1, 1), SplitCell(1, 1))
    assert normal.source_shares == (0.0, 1.0, 0.0)
    assert [source.source for source in view.sources][1:] == ["a", "b"]


def test_by_hand_copies_are_films_of_clusters_of_two_or_more(film_material: FilmMaterial) -> None:
    view = build_films_view(film_material)
    # Rows 0 and 1 share cluster 0; every other film is alone.
    assert (view.copies, view.copy_clusters) == (2, 1)
    assert view.share_without_patient == 0.5


def test_a_class_without_training_films_has_no_samples(film_material: FilmMaterial) -> None:
    only_normal = film_material.training["class_name"] == "normal"
    material = dataclasses.replace(
        film_material, training=film_material.training[only_normal].reset_index(drop=True)
    )
    view = build_films_view(material)
    assert [len(samples) for samples in view.samples] == [2, 0, 0]


def test_a_sample_is_the_film_of_its_row(film_material: FilmMaterial) -> None:
    films = np.zeros((6, 16, 16), np.uint8)
    films[3] = 255
    asked: list[int] = []

    class Counted:
        def __getitem__(self, row: int) -> np.ndarray:
            asked.append(row)
            return films[row]

    material = dataclasses.replace(film_material, training_films=Counted())
    samples = build_films_view(material).samples
    # Row 3 is the second normal film of the training split, and the only white one.
    assert samples[0][0].address != samples[0][1].address
    assert {0, 3} <= set(asked)


def test_many_sources_are_joined_so_that_the_table_stays_readable(
    film_material: FilmMaterial,
) -> None:
    manifest = pd.concat([film_material.manifest] * 4, ignore_index=True)
    manifest["source"] = [f"s{row % 20}" for row in range(len(manifest))]
    view = build_films_view(dataclasses.replace(film_material, manifest=manifest))
    assert len(view.sources) == 12
    assert sum(source.films for source in view.sources) == 48


def test_rejected_films_are_counted_by_reason_most_first() -> None:
    rejected = pd.DataFrame(
        {"image_id": list("abcd"), "code": ["x", "y", "y", "z"], "reason": list("ABCD")}
    )
    rows = count_rejected(rejected)
    assert [(row.code, row.films, row.example, row.reason) for row in rows] == [
        ("y", 2, "b", "B"),
        ("x", 1, "a", "A"),
        ("z", 1, "d", "D"),
    ]


def test_without_a_dataset_the_section_says_so() -> None:
    section = build_films_section(None)
    assert section.view is None
    assert "not there any more" in section.missing
