from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.explain.zones import (
    OUTSIDE,
    ZONE_NAMES,
    compute_zones,
    describe_zones,
    split_lungs,
    sum_zones,
)


def _draw_boxes() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two lungs of 6 rows and 4 columns."""
    right, left = np.zeros((2, 10, 14), bool)
    right[2:8, 1:5] = True
    left[2:8, 9:13] = True
    return right, left


def test_the_zones_of_two_boxes_by_hand() -> None:
    zones = compute_zones(*_draw_boxes())
    named = np.array(ZONE_NAMES)[zones]
    # Rows 2-3 are the upper third; the outer half of the right lung is at the picture's left.
    assert (named[2:4, 1:3] == "right upper outer").all()
    assert (named[2:4, 3:5] == "right upper inner").all()
    assert (named[4:6, 9:11] == "left middle inner").all()
    assert (named[6:8, 11:13] == "left lower outer").all()
    assert (zones == 0).sum() == 140 - 48
    sizes = sum_zones(np.ones(zones.shape), zones)
    assert sizes.tolist() == [92, *[4] * 12]


def test_zones_cover_the_lungs_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    right = np.zeros((40, 60), bool)
    for row in range(5, 33):
        right[row, 20 - row // 3 : 26 + int(generator.integers(0, 3))] = True
    left = right[:, ::-1]
    zones = compute_zones(right, left)
    np.testing.assert_array_equal(zones > 0, right | left)
    assert set(np.unique(zones)) == set(range(13))


def test_a_mirrored_film_has_the_zones_of_the_other_side() -> None:
    right, left = _draw_boxes()
    zones = compute_zones(right, left)
    mirrored = compute_zones(left[:, ::-1], right[:, ::-1])[:, ::-1]
    inside = zones > 0
    np.testing.assert_array_equal(
        np.where(zones > 6, zones - 6, zones + 6)[inside], mirrored[inside]
    )


def test_in_the_corner_beside_the_diaphragm_the_outer_half_stays_outer() -> None:
    right, left = _draw_boxes()
    right[8, 1:2] = True
    zones = compute_zones(right, left)
    assert ZONE_NAMES[zones[8, 1]] == "right lower outer"


def test_lungs_that_are_not_there_give_no_zones() -> None:
    nothing = np.zeros((8, 8), bool)
    assert not compute_zones(nothing, nothing).any()


def test_a_mask_is_split_into_the_two_largest_pieces() -> None:
    right, left = _draw_boxes()
    mask = (right | left).astype(np.uint8) * 255
    mask[9, 6] = 255
    found = split_lungs(mask)
    np.testing.assert_array_equal(found[0], right)
    np.testing.assert_array_equal(found[1], left)


def test_lungs_that_touch_are_cut_in_the_middle() -> None:
    mask = np.zeros((6, 10), np.uint8)
    mask[1:5, 1:9] = 255
    right, left = split_lungs(mask)
    assert right.sum() == left.sum() == 16
    assert np.nonzero(right)[1].max() == 4


def test_an_empty_mask_has_no_lungs() -> None:
    right, left = split_lungs(np.zeros((6, 6), np.uint8))
    assert not right.any()
    assert not left.any()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((OUTSIDE,), "the part of the film outside the lungs"),
        (("left upper inner",), "the upper inner zone of the patient's left lung"),
    ],
)
def test_zones_are_named_for_people(names: tuple[str, ...], words: str) -> None:
    assert describe_zones(names) == words
