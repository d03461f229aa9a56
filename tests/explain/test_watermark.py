"""The words stand across the picture, on dark and on bright, large and small."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.watermark import draw_watermark


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


def test_a_small_picture_is_enlarged_so_that_the_words_can_be_read() -> None:
    assert draw_watermark(np.zeros((64, 64, 3), np.uint8), least_side_px=192).shape == (192, 192, 3)
