"""The mean over patients: by hand, against SciPy, and where it is not known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxresnet.metrics.mean import estimate_mean


def test_the_interval_is_students() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.4, 0.15])
    found = estimate_mean(values, scale="difference")
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert (found.n, found.groups) == (5, 5)


def test_unknown_values_are_left_out_and_not_counted() -> None:
    found = estimate_mean([0.2, float("nan"), 0.4], scale="difference")
    assert (found.value, found.n) == (pytest.approx(0.3), 2)


def test_without_a_value_the_reason_is_given() -> None:
    found = estimate_mean([float("nan")], scale="difference")
    assert (found.value, found.low, found.n) == (None, None, 0)
    assert found.reason


def test_one_patient_gives_no_interval() -> None:
    found = estimate_mean([0.5], scale="share")
    assert (found.value, found.low) == (0.5, None)
    assert "one film" in found.reason


def test_equal_values_give_a_value_and_say_why_there_is_no_interval() -> None:
    found = estimate_mean([0.5, 0.5, 0.5], scale="difference")
    assert (found.value, found.low) == (0.5, None)
    assert "same" in found.reason
