"""What the files were, counted by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxresnet.report.sections.films import FilmMaterial
from cxresnet.report.sections.statistics import StatisticsView, build_statistics_section


@pytest.fixture
def films() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "class_name": ["a", "a", "b", "b"],
            "source": ["north", "north", "south", ""],
            "split": ["train", "test", "train", "train"],
            "view": ["PA", "PA", "AP", ""],
            "sex": ["", "", "", ""],
            "age_years": ["39", "40", "104", "045Y"],
            "file_width": [100, 200, 300, 300],
            "file_height": [100, 100, 100, 100],
            "file_format": ["PNG", "PNG", "JPEG", "JPEG"],
            "file_mode": ["L"] * 4,
            "file_bytes": [1000, 4000, 300, 600],
            "border_grey": [0.1, 0.3, 0.5, float("nan")],
        }
    )


def _view(films: pd.DataFrame, *class_names: str) -> StatisticsView:
    in_training = films[films["split"] == "train"].reset_index(drop=True)
    greys = np.arange(len(in_training), dtype=np.uint8)[:, None, None] * 51
    material = FilmMaterial(
        class_names=class_names,
        manifest=films,
        training=in_training,
        training_films=np.broadcast_to(greys, (len(in_training), 4, 4)),
        side_px=4,
        rejected=films.iloc[:0],
    )
    view = build_statistics_section(material).view
    assert isinstance(view, StatisticsView)
    return view


def test_by_hand_kinds_are_counted_by_class(films: pd.DataFrame) -> None:
    rows = {(row.kind, row.value): (row.counts, row.shares) for row in _view(films, "a", "b").kinds}
    assert rows["view", "PA"] == ((2, 0), (1.0, 0.0))
    assert rows["view", "AP"] == ((0, 1), (0.0, 0.5))
    assert rows["view", "not said"] == ((0, 1), (0.0, 0.5))
    assert rows["file", "JPEG L"] == ((0, 2), (0.0, 1.0))


def test_ages_are_joined_by_decade_and_what_is_no_age_is_not_said(films: pd.DataFrame) -> None:
    ages = {row.value: row.counts for row in _view(films, "a", "b").kinds if row.kind == "age"}
    assert ages == {"30–39": (1, 0), "40–49": (1, 0), "90 and older": (0, 1), "not said": (0, 1)}


def test_what_nobody_says_has_no_row(films: pd.DataFrame) -> None:
    assert not [row for row in _view(films, "a", "b").kinds if row.kind == "sex"]


def test_by_hand_numbers_spread_by_class(films: pd.DataFrame) -> None:
    spreads = {row.title: row.cells for row in _view(films, "a", "b").spreads}
    assert spreads["width, px"][0] == pytest.approx((105, 150, 195))
    # 1000 bytes on 100 × 100 px, 4000 on 200 × 100 px: 0.1 and 0.2 bytes a pixel.
    assert spreads["bytes per pixel"][0] == pytest.approx((0.105, 0.15, 0.195))
    assert spreads["grey of the border, 0 to 1"][1] == pytest.approx((0.5, 0.5, 0.5))


def test_a_class_without_films_has_no_numbers(films: pd.DataFrame) -> None:
    view = _view(films, "a", "none")
    assert all(row.cells[1] is None for row in view.spreads)
    assert all(row.counts[1] == 0 for row in view.kinds)


def test_by_hand_grey_levels_are_of_the_training_films_alone(films: pd.DataFrame) -> None:
    # Training films: one of a, all black; two of b, of one grey each, 51 / 255 and 102 / 255.
    spreads = {row.title: row.cells for row in _view(films, "a", "b").spreads}
    mean = spreads["mean grey of the prepared film, 0 to 1"]
    assert mean[0] == pytest.approx((0, 0, 0))
    assert mean[1] == pytest.approx((0.21, 0.3, 0.39))
    assert spreads["spread (sd) of its grey"][1] == pytest.approx((0, 0, 0))


def test_by_hand_films_are_counted_by_everything_at_once(films: pd.DataFrame) -> None:
    found = _view(films, "a", "b").combinations
    # Nobody says the sex of any film, so it has no column.
    assert found.headings == ("class", "source", "split", "view", "age")
    assert {row.kinds: row.films for row in found.rows} == {
        ("a", "north", "train", "PA", "30–39"): 1,
        ("a", "north", "test", "PA", "40–49"): 1,
        ("b", "south", "train", "AP", "90 and older"): 1,
        ("b", "not said", "train", "not said", "not said"): 1,
    }
    assert (found.rest, found.rest_films) == (0, 0)


def test_rare_combinations_are_summed_up(films: pd.DataFrame) -> None:
    many = pd.concat([films] * 20, ignore_index=True)
    many["source"] = [f"s{row}" for row in range(80)]
    found = _view(many, "a", "b").combinations
    assert (len(found.rows), found.rest, found.rest_films) == (60, 20, 20)
