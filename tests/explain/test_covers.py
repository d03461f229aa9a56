"""What each cover leaves of a film, on films drawn by hand."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from cxresnet.core.config.explain import CoverName
from cxresnet.explain.covers import COVER_WORDS, build_cover

WINDOW = 16


def _draw(value: float, radius: int) -> Tensor:
    """Draw an even film of 0 with one disc of `value` in the middle."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 <= radius**2
    return torch.where(disc, value, 0.0)[None]


def _cover(name: CoverName, image: Tensor) -> Tensor:
    return build_cover(name, image, window_px=WINDOW, seed=0)


def test_every_cover_has_words_and_the_films_size() -> None:
    assert set(COVER_WORDS) == set(get_args(CoverName))
    for name in COVER_WORDS:
        assert _cover(name, _draw(1, 4)).shape == (1, 64, 64)


def test_clearing_takes_away_what_is_bright_and_small() -> None:
    assert _cover("clear", _draw(1.0, 4)).abs().max() < 1e-6


def test_clearing_leaves_what_is_larger_than_the_patch() -> None:
    assert _cover("clear", _draw(1.0, 24))[0, 32, 32] == pytest.approx(1, abs=1e-3)


def test_clearing_never_takes_away_what_is_dark() -> None:
    assert _cover("clear", _draw(-1.0, 8))[0, 32, 32] < -0.5


def test_a_blur_thins_a_small_disc_and_keeps_its_sum() -> None:
    image = _draw(1.0, 4)
    blurred = _cover("blur", image)
    assert 0.2 < float(blurred.max()) < 0.9
    assert blurred.sum() == pytest.approx(float(image.sum()), rel=1e-3)


def test_grey_is_even_and_noise_is_the_same_for_the_same_seed() -> None:
    image = _draw(1.0, 4)
    assert (_cover("mean", image) == 0).all()
    assert torch.equal(_cover("noise", image), _cover("noise", image))
    assert _cover("noise", image).std() == pytest.approx(1, abs=0.1)
