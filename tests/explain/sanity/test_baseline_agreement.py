"""Where baselines contradict a map it is not readable: by hand on maps of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.sanity.baseline_agreement import grade_agreement, measure_agreement


def test_by_hand_only_the_strongest_pixels_count() -> None:
    maps = np.zeros((3, 10, 10), np.float32)
    maps[:2, 0, :5] = [0.5, -0.4, 0.3, 0.2, 0.1]
    ranges = np.full(maps.shape, 0.25, np.float32)
    ranges[1] = 0.6
    # On the first image 0.5, 0.4 and 0.3 exceed the range; on the third there is no map.
    np.testing.assert_allclose(measure_agreement(maps, ranges), [0.6, 0.0, np.nan])


def test_a_range_as_large_as_the_map_does_not_agree() -> None:
    maps = np.full((1, 4, 4), -0.25, np.float32)
    assert measure_agreement(maps, -maps)[0] == 0.0


@pytest.mark.parametrize(("share", "verdict"), [(0.9, "pass"), (0.5, "fail"), (0.1, "fail")])
def test_more_than_half_has_to_agree(share: float, verdict: str) -> None:
    result = grade_agreement(np.array([share - 0.05, share, share + 0.05, share]))
    assert (result.test, result.verdict) == ("baselines", verdict)


def test_empty_maps_are_not_tested() -> None:
    assert grade_agreement(np.full(3, np.nan)).verdict == "not tested"
