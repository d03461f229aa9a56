"""Figures take their colours from the page, and are the same on every day."""

from __future__ import annotations

import re

import pytest
from matplotlib.axes import Axes

from cxresnet.report.figures import FAINT, GRID, INK, SERIES, draw_svg


def _draw(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=SERIES[1])
    axes.text(0.1, 0.1, "three < four & five")
    axes.set_xlabel("epoch")


@pytest.mark.slow
def test_the_same_drawing_has_the_same_bytes() -> None:
    assert draw_svg("one", _draw, alt_text="w").svg == draw_svg("one", _draw, alt_text="w").svg


@pytest.mark.slow
def test_every_colour_is_a_variable_of_the_page() -> None:
    svg = draw_svg("one", _draw, alt_text="w").svg
    assert not any(stand_in in svg for stand_in in (INK, FAINT, GRID, *SERIES))
    assert "var(--series-2)" in svg
    assert "var(--line)" in svg
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]+", svg)


@pytest.mark.slow
def test_text_stays_text_and_is_escaped() -> None:
    svg = draw_svg("one", _draw, alt_text="w").svg
    assert "three &lt; four &amp; five</text>" in svg
    assert "font-family" not in svg


@pytest.mark.slow
def test_nothing_is_fetched_run_or_styled_beyond_the_figure() -> None:
    svg = draw_svg("one", _draw, alt_text="w").svg
    for word in ("http", "<script", "<style", "<metadata", "<?xml", "<!--"):
        assert word not in svg


@pytest.mark.slow
def test_two_figures_in_one_page_share_no_id() -> None:
    first, second = (draw_svg(name, _draw, alt_text="w").svg for name in ("one", "two"))
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert ids[0] >= set(re.findall(r"url\(#([^)]+)\)", first))
