from __future__ import annotations

import pytest

from cxresnet.metrics.estimate import (
    Estimate,
    compute_interval,
    correct_confidence,
    subtract_estimates,
)


def test_the_interval_of_a_difference_is_that_of_newcombe() -> None:
    # Newcombe 1998, table II, method 10: 56/70 minus 48/80 is 0.2 (0.0524 to 0.3339), from the
    # Wilson intervals 0.6918 to 0.8770 and 0.4905 to 0.7004.
    first = Estimate(value=0.8, low=0.69183, high=0.87695, n=70, groups=70)
    second = Estimate(value=0.6, low=0.49046, high=0.70038, n=80, groups=80)
    found = subtract_estimates(first, second)
    assert (found.value, found.n) == (pytest.approx(0.2), 150)
    assert (found.low, found.high) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_without_one_of_the_two_there_is_no_difference(missing: int) -> None:
    sides = [Estimate(value=0.5, low=0.4, high=0.6, n=9, groups=9)] * 2
    sides[missing] = Estimate(value=None, low=None, high=None, n=0, groups=0, reason="No image.")
    found = subtract_estimates(*sides)
    assert (found.value, found.low, found.reason) == (None, None, "No image.")
    sides[missing] = Estimate(value=0.1, low=None, high=None, n=5, groups=1, reason="One patient.")
    found = subtract_estimates(*sides)
    assert (found.value, found.low, found.reason) == (
        pytest.approx((-0.4, 0.4)[missing]),
        None,
        "One patient.",
    )


def test_one_comparison_is_not_corrected() -> None:
    assert correct_confidence(0.95, 1) == pytest.approx(0.95)
    assert correct_confidence(0.95, 0) == pytest.approx(0.95)


def test_the_interval_of_an_area_is_straight_ends_at_one_and_is_never_missing_there() -> None:
    def compute(value: float, error: float) -> tuple[float | None, float | None]:
        return compute_interval(
            value, error, groups=20, degrees_of_freedom=1e9, scale="area", confidence=0.95
        )

    assert compute(0.9, 0.02) == pytest.approx((0.8608, 0.9392), abs=1e-4)  # 0.9 ± 1.96 · 0.02
    assert compute(0.98, 0.02) == (pytest.approx(0.9408, abs=1e-4), 1.0)
    assert compute(0.01, 0.02) == (0.0, pytest.approx(0.0492, abs=1e-4))
    # Clopper and Pearson: 20 of 20 have a lower end of 0.025^(1/20).
    assert compute(1.0, 0.0) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert compute(0.9, 0.0) == (None, None)
