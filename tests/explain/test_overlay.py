"""A colour means the same in two pictures, and the image stays visible."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.overlay import (
    AGAINST_RGB,
    FOR_RGB,
    compute_drawn_map,
    compute_heatmap,
    compute_own_scale_limit,
    compute_scale_limit,
    draw_colour_bar,
    draw_overlay,
    draw_watermark,
    find_outline,
    load_font,
)


def test_by_hand_the_scale_runs_from_minus_to_plus_the_limit() -> None:
    attribution = np.array([-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.9], np.float32)
    found = compute_heatmap(attribution, scale_limit=0.2)
    np.testing.assert_allclose(found, [0, 0, 0.25, 0.5, 0.75, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("largest", "limit"),
    [(0.0, 0.01), (0.01, 0.01), (0.011, 0.015), (-0.12, 0.15), (0.51, 0.7), (1.0, 1.0), (1.2, 1.0)],
)
def test_the_limit_is_the_least_round_number_that_nothing_exceeds(
    largest: float, limit: float
) -> None:
    assert compute_scale_limit(np.array([0.0, largest], np.float32)) == limit


def test_where_nothing_argues_the_image_is_as_it_was() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = draw_overlay(image, np.zeros((16, 16), np.float32), scale_limit=0.1)
    np.testing.assert_array_equal(found, np.repeat(image[..., None], 3, axis=2))


def test_by_hand_full_scale_covers_four_fifths_of_the_image() -> None:
    image = np.full((1, 2), 100, np.uint8)
    found = draw_overlay(image, np.array([[0.1, -0.1]], np.float32), scale_limit=0.1)
    for pixel, colour in zip(found[0], (FOR_RGB, AGAINST_RGB), strict=True):
        np.testing.assert_array_equal(pixel, [round(20 + 0.8 * part) for part in colour])


def test_the_same_change_has_the_same_colour_whatever_else_is_on_the_image() -> None:
    image = np.full((8, 8), 90, np.uint8)
    quiet, loud = np.zeros((2, 8, 8), np.float32)
    quiet[2, 2] = loud[2, 2] = 0.05
    loud[5:, 5:] = 0.2
    first = draw_overlay(image, quiet, scale_limit=0.2)
    second = draw_overlay(image, loud, scale_limit=0.2)
    np.testing.assert_array_equal(first[2, 2], second[2, 2])


def test_half_the_change_has_half_the_colour() -> None:
    image = np.zeros((1, 2), np.uint8)
    found = draw_overlay(image, np.array([[0.2, 0.1]], np.float32), scale_limit=0.2)
    np.testing.assert_allclose(found[0, 1], found[0, 0] / 2, atol=1)


def test_the_bar_is_blue_at_the_left_grey_in_the_middle_orange_at_the_right() -> None:
    bar = draw_colour_bar(width_px=101, height_px=3)
    assert bar.shape == (3, 101, 3)
    left, middle, right = (bar[1, column].astype(int) for column in (0, 50, 100))
    assert left[2] > left[0]
    assert right[0] > right[2]
    np.testing.assert_array_equal(middle, [110, 110, 110])


def test_by_hand_the_outline_is_the_rim_of_the_mask() -> None:
    mask = np.zeros((5, 5), np.uint8)
    mask[1:4, 1:4] = 255
    expected = mask > 0
    expected[2, 2] = False
    np.testing.assert_array_equal(find_outline(mask), expected)


def test_the_edge_of_the_image_is_no_rim() -> None:
    assert not find_outline(np.full((4, 4), 255, np.uint8)).any()


@pytest.mark.parametrize(
    ("strong", "limit"), [(0.3, 0.5), (0.0021, 0.005), (7.0, 10.0), (1.0, 1.0), (0.0, 1.0)]
)
def test_an_own_scale_ends_at_the_next_round_value(strong: float, limit: float) -> None:
    maps = np.full((4, 4), strong, np.float32)
    assert compute_own_scale_limit(maps) == pytest.approx(limit)


def test_a_few_wild_pixels_do_not_stretch_an_own_scale() -> None:
    maps = np.full(10_000, 0.1, np.float32)
    maps[:10] = 50
    assert compute_own_scale_limit(maps) <= 0.2


def test_by_hand_a_drawn_map_is_the_sum_over_the_square_around_each_pixel() -> None:
    image = np.zeros((1, 5, 5), np.float32)
    image[0, 2, 2], image[0, 0, 0] = 2.0, -1.0
    drawn = compute_drawn_map(image, patch_px=3)
    assert drawn[0, 1, 1] == pytest.approx(1.0)
    assert drawn[0, 2, 2] == pytest.approx(2.0)
    assert drawn[0, 4, 4] == 0
    assert compute_drawn_map(image, patch_px=None) is image


# The words stand across the picture, on dark and on bright, large and small.


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_the_words_can_be_seen_on_every_grey(grey: int) -> None:
    picture = np.full((192, 192, 3), grey, np.uint8)
    marked = draw_watermark(picture)
    assert marked.shape == picture.shape
    assert (np.abs(marked.astype(int) - grey).max(axis=2) > 100).mean() > 0.01
    assert (picture == grey).all()


def test_no_quarter_of_the_picture_is_without_words() -> None:
    marked = draw_watermark(np.full((200, 200, 3), 110, np.uint8))
    changed = (marked != 110).any(axis=2)
    quarters = changed.reshape(2, 100, 2, 100).mean(axis=(1, 3))
    assert (quarters > 0.02).all()


def test_the_band_leaves_most_of_the_map_as_it_was() -> None:
    marked = draw_watermark(np.full((200, 200, 3), 110, np.uint8))
    assert (marked[25:175] == 110).all()


def test_the_font_has_the_dash_and_the_minus() -> None:
    box = load_font(20).getmask("\ufffe")
    for sign in "–—−":
        assert bytes(load_font(20).getmask(sign)) != bytes(box)


def test_a_small_picture_is_enlarged_so_that_the_words_can_be_read() -> None:
    assert draw_watermark(np.zeros((64, 64, 3), np.uint8), min_side_px=192).shape == (192, 192, 3)
