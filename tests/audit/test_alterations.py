from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.audit.experiments.alterations import (
    add_border,
    add_frame,
    blur,
    change_tone,
    compress,
    mirror,
    paste_letter,
    resample,
    rotate,
    shift,
)
from cxresnet.data.phantoms.shortcuts import draw_shortcut

SIDE = 96

Image = NDArray[np.uint8]
Change = Callable[[Image], Image]


@pytest.fixture
def image() -> Image:
    """Smooth, different everywhere, neither black nor white."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = np.sin(7 * rows + 1) * np.cos(5 * columns) + rows - 0.4 * columns
    return np.round(30 + 180 * (waves - waves.min()) / np.ptp(waves)).astype(np.uint8)


ALL: dict[str, Change] = {
    "rotate": partial(rotate, degrees=5),
    "shift": partial(shift, down=0.03, across=-0.03),
    "tone": partial(change_tone, gamma=0.8),
    "resample": partial(resample, share=0.5),
    "jpeg": partial(compress, quality=50),
    "mirror": mirror,
    "letter": paste_letter,
    "frame": add_frame,
    "blur": partial(blur, sigma=0.01),
    "border": partial(add_border, width=0.05, level=0),
}


@pytest.mark.parametrize("name", ALL)
def test_a_change_gives_a_new_image_of_the_same_kind_and_leaves_the_given_one(
    name: str, image: Image
) -> None:
    before = image.copy()
    changed = ALL[name](image)
    assert (changed.dtype, changed.shape) == (np.uint8, image.shape)
    assert (changed != image).any()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "change",
    [
        partial(rotate, degrees=0),
        shift,
        partial(change_tone, gamma=1),
        partial(resample, share=1),
        partial(paste_letter, contrast=0),
        partial(add_frame, contrast=0),
        partial(blur, sigma=0),
        partial(add_border, width=0, level=255),
    ],
)
def test_nothing_changes_at_strength_0(change: Change, image: Image) -> None:
    np.testing.assert_array_equal(change(image), image)


def test_rotation_is_counterclockwise_and_repeats_the_edge(image: Image) -> None:
    np.testing.assert_array_equal(rotate(image, 90), np.rot90(image))
    even = np.full((SIDE, SIDE), 90, np.uint8)
    np.testing.assert_array_equal(rotate(even, 7), even)


def test_a_shift_moves_whole_pixels_and_repeats_the_edge(image: Image) -> None:
    # 3 % of 96 pixels are 3 pixels.
    moved = shift(image, down=0.03, across=-0.03)
    np.testing.assert_array_equal(moved[3:, :-3], image[:-3, 3:])
    np.testing.assert_array_equal(moved[:3, :-3], np.repeat(image[:1, 3:], 3, axis=0))


def test_tone_leaves_black_and_white_and_moves_the_middle() -> None:
    levels = np.array([[0, 128, 255]], dtype=np.uint8)
    # 255 · (128 / 255)² = 64.25
    assert change_tone(levels, 2).tolist() == [[0, 64, 255]]
    assert change_tone(levels, 0.5).tolist() == [[0, 181, 255]]


def test_mirroring_twice_gives_the_image_back(image: Image) -> None:
    np.testing.assert_array_equal(mirror(image)[:, 0], image[:, -1])
    np.testing.assert_array_equal(mirror(mirror(image)), image)


def test_the_letter_is_that_of_the_phantoms(image: Image) -> None:
    planted = draw_shortcut(image / np.float32(255), "marker")
    np.testing.assert_array_equal(paste_letter(image), np.rint(planted * 255).astype(np.uint8))


def test_the_letter_in_the_right_corner_is_as_far_from_the_edge_and_not_mirrored() -> None:
    black = np.zeros((SIDE, SIDE), np.uint8)
    left, right = (np.argwhere(paste_letter(black, at_right=side)) for side in (False, True))
    assert left[:, 1].min() == SIDE - 1 - right[:, 1].max()
    np.testing.assert_array_equal(left - left.min(axis=0), right - right.min(axis=0))


def test_a_letter_of_half_the_contrast_is_half_way_to_white() -> None:
    pasted = paste_letter(np.full((SIDE, SIDE), 55, np.uint8), contrast=0.5)
    assert set(np.unique(pasted)) == {55, 155}


def test_a_border_hides_the_edge_and_nothing_else(image: Image) -> None:
    framed = add_border(image, 0.05, level=7)
    # 5 % of 96 pixels are 4.8, rounded 5.
    np.testing.assert_array_equal(framed[5:-5, 5:-5], image[5:-5, 5:-5])
    outside = np.ones_like(image, dtype=bool)
    outside[5:-5, 5:-5] = False
    assert set(framed[outside]) == {7}


def test_a_frame_stays_in_the_outer_6_percent(image: Image) -> None:
    changed = np.argwhere(add_frame(image) != image)
    assert np.minimum(changed, SIDE - 1 - changed).min(axis=1).max() < 0.06 * SIDE
    assert len(changed) > 3.5 * SIDE


def test_blur_and_resampling_take_away_detail_and_leave_the_mean() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    weak, strong = blur(noise, 0.005), blur(noise, 0.03)
    assert noise.std() > weak.std() > strong.std()
    for softer in (weak, strong, resample(noise, 0.5)):
        assert softer.std() < 0.8 * noise.std()
        assert softer.mean() == pytest.approx(noise.mean(), abs=2)
