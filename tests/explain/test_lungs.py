from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.data.phantoms.draw import PhantomImage, draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.explain.lungs import (
    OUTSIDE,
    ZONE_NAMES,
    choose_lungs,
    compute_lung_area_share,
    compute_lung_share,
    compute_zones,
    describe_zones,
    split_lungs,
    sum_zones,
)


@pytest.fixture(scope="module")
def drawn() -> PhantomImage:
    settings = PhantomSettings(images_per_class=1, side_px=128, seed=99)
    return draw_phantom(plan_phantoms(settings)[0], settings)


def test_the_mask_of_the_dataset_comes_first(drawn: PhantomImage) -> None:
    lungs = choose_lungs(drawn.pixels, drawn.lung_mask)
    assert (lungs.source, lungs.note) == ("dataset", "")
    np.testing.assert_array_equal(lungs.mask, drawn.lung_mask)


@pytest.mark.parametrize("given", [None, np.zeros((128, 128), np.uint8)])
def test_without_a_mask_the_lung_finder_looks(
    drawn: PhantomImage, given: np.ndarray | None
) -> None:
    lungs = choose_lungs(drawn.pixels, given)
    assert lungs.source == "lung finder"
    overlap = (lungs.mask > 0) & (drawn.lung_mask > 0)
    assert overlap.sum() > 0.85 * (drawn.lung_mask > 0).sum()


def test_a_mask_beside_the_lungs_is_used_and_the_note_says_so(drawn: PhantomImage) -> None:
    lungs = choose_lungs(drawn.pixels, np.roll(drawn.lung_mask, 40, axis=0))
    assert lungs.source == "dataset"
    assert "one of them is wrong" in lungs.note


def test_where_there_are_no_lungs_there_is_a_reason_and_an_empty_mask() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    lungs = choose_lungs(noise, None)
    assert lungs.source == "none"
    assert lungs.note.startswith("No reliable lungs found")
    assert not lungs.mask.any()


# How much of a map lies in the lungs.


MASK = np.array([[255, 0], [0, 0]], np.uint8)


def test_by_hand_for_and_against_both_count() -> None:
    attribution = np.array([[-0.3, 0.1], [0.0, 0.0]], np.float32)
    assert compute_lung_share(attribution, MASK) == pytest.approx(0.75)


def test_a_map_that_knows_nothing_of_lungs_scores_the_area_of_the_lungs() -> None:
    even = np.full((2, 2), 0.2, np.float32)
    assert compute_lung_share(even, MASK) == compute_lung_area_share(MASK) == 0.25


def test_a_map_of_zeros_has_no_share() -> None:
    assert compute_lung_share(np.zeros((2, 2), np.float32), MASK) is None


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


def test_a_mirrored_image_has_the_zones_of_the_other_side() -> None:
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
        ((OUTSIDE,), "the part of the image outside the lungs"),
        (("left upper inner",), "the upper inner zone of the patient's left lung"),
    ],
)
def test_zones_are_named_for_people(names: tuple[str, ...], words: str) -> None:
    assert describe_zones(names) == words
