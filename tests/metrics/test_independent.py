"""The difference of two numbers that rest on different patients."""

from __future__ import annotations

import pytest

from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.independent import compare_independent


def _number(value: float, reach: float) -> Estimate:
    return Estimate(value=value, low=value - reach, high=value + reach, n=200, groups=150)


def test_the_interval_of_a_difference_of_two_tests_is_worked_out_by_hand() -> None:
    # Reaches 3 and 4 make 5.
    found = compare_independent(_number(0.8, 0.03), _number(0.7, 0.04))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.05, 0.15))
    assert (found.n, found.groups) == (400, 150)
