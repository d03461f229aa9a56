"""How much of a map lies in the lungs."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.lungs import compute_lung_area_share, compute_lung_share

MASK = np.array([[255, 0], [0, 0]], np.uint8)


def test_by_hand_for_and_against_both_count() -> None:
    attribution = np.array([[-0.3, 0.1], [0.0, 0.0]], np.float32)
    assert compute_lung_share(attribution, MASK) == pytest.approx(0.75)


def test_a_map_that_knows_nothing_of_lungs_scores_the_area_of_the_lungs() -> None:
    even = np.full((2, 2), 0.2, np.float32)
    assert compute_lung_share(even, MASK) == compute_lung_area_share(MASK) == 0.25


def test_a_map_of_zeros_has_no_share() -> None:
    assert compute_lung_share(np.zeros((2, 2), np.float32), MASK) is None
