"""Numbers as people read them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxresnet.metrics.estimate import Estimate
from cxresnet.report.formatting import (
    format_bytes,
    format_count,
    format_decimal,
    format_decimal_interval,
    format_duration,
    format_percent,
    format_percent_interval,
)

WHOLE = Estimate(value=0.9041, low=0.85, high=0.9349, n=225, groups=180)
BARE = Estimate(value=None, low=None, high=None, n=0, groups=0, reason="No image.")


def test_a_share_is_shown_in_percent_with_its_interval() -> None:
    assert format_percent(WHOLE) == "90.4\u202f%"
    assert format_percent_interval(WHOLE) == "85.0–93.5"


def test_a_number_is_shown_with_three_places() -> None:
    assert format_decimal(WHOLE) == "0.904"
    assert format_decimal_interval(WHOLE) == "0.850–0.935"


def test_an_interval_that_begins_below_zero_has_no_dash_beside_the_minus() -> None:
    difference = Estimate(value=0.1, low=-0.05, high=0.2, n=5, groups=5)
    assert format_decimal_interval(difference) == "-0.050 to 0.200"


def test_what_is_not_defined_is_a_dash_that_says_so() -> None:
    assert format_percent(BARE) == format_decimal(BARE) == "–"
    assert format_percent_interval(BARE) == format_decimal_interval(BARE) == "not defined here"


def test_a_number_without_an_interval_says_so() -> None:
    sure = replace(BARE, value=0.5)
    assert format_percent_interval(sure) == format_decimal_interval(sure) == "no interval"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1\u202f000"), (12345678, "12\u202f345\u202f678")],
)
def test_large_counts_are_grouped(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (9.96, "10.0 s"), (59, "59 s"), (75, "1 min 15 s"), (7260, "2 h 1 min")],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3e9, "3.0 GB")]
)
def test_a_file_size_has_the_unit_that_suits_it(count: int, text: str) -> None:
    assert format_bytes(int(count)) == text
