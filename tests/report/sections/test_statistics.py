"""What the files were, counted by class."""

from __future__ import annotations

import pandas as pd
import pytest

from cxresnet.report.sections.statistics import StatisticsView, build_statistics_section


@pytest.fixture
def films() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "class_name": ["a", "a", "b", "b"],
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
    view = build_statistics_section(films, class_names=class_names).view
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
