"""What each cover leaves of an image, on images drawn by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor

from cxresnet.core.config.explain import OcclusionBaselineName
from cxresnet.explain.methods.patches import (
    BASELINE_DESCRIPTIONS,
    Patch,
    build_grid,
    build_occlusion_baseline,
    measure_coarse_to_fine,
    paint_patches,
)

WINDOW = 16


def _draw(value: float, radius: int) -> Tensor:
    """Draw an even image of 0 with one disc of `value` in the middle."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 <= radius**2
    return torch.where(disc, value, 0.0)[None]


def _build(name: OcclusionBaselineName, image: Tensor) -> Tensor:
    return build_occlusion_baseline(name, image, window_px=WINDOW, seed=0)


def test_every_cover_has_words_and_the_images_size() -> None:
    assert set(BASELINE_DESCRIPTIONS) == set(get_args(OcclusionBaselineName))
    for name in BASELINE_DESCRIPTIONS:
        assert _build(name, _draw(1, 4)).shape == (1, 64, 64)


def test_clearing_takes_away_what_is_bright_and_small() -> None:
    assert _build("clear", _draw(1.0, 4)).abs().max() < 1e-6


def test_clearing_leaves_what_is_larger_than_the_patch() -> None:
    assert _build("clear", _draw(1.0, 24))[0, 32, 32] == pytest.approx(1, abs=1e-3)


def test_clearing_never_takes_away_what_is_dark() -> None:
    assert _build("clear", _draw(-1.0, 8))[0, 32, 32] < -0.5


def test_a_blur_thins_a_small_disc_and_keeps_its_sum() -> None:
    image = _draw(1.0, 4)
    blurred = _build("blur", image)
    assert 0.2 < float(blurred.max()) < 0.9
    assert blurred.sum() == pytest.approx(float(image.sum()), rel=1e-3)


def test_grey_is_even_and_noise_is_the_same_for_the_same_seed() -> None:
    image = _draw(1.0, 4)
    assert (_build("mean", image) == 0).all()
    assert torch.equal(_build("noise", image), _build("noise", image))
    assert _build("noise", image).std() == pytest.approx(1, abs=0.1)


# The grid is Captum's, the paint is a mean, and coarse to fine finds the same.


def test_by_hand_the_last_patch_is_cut_at_the_edge() -> None:
    grid = build_grid(5, 4, window_px=2, stride_px=2)
    assert (grid.rows, grid.columns) == (3, 2)
    assert grid.patches[-1] == Patch(top=4, left=2, height=1, width=2)
    assert build_grid(4, 5, window_px=2, stride_px=2).patches[-1] == Patch(2, 4, 2, 1)


def test_by_hand_a_pixel_under_two_patches_has_their_mean() -> None:
    grid = build_grid(1, 3, window_px=2, stride_px=1)
    painted = paint_patches(grid, torch.tensor([1.0, 3.0]))
    assert painted.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("side", "window_px", "stride_px"), [(32, 8, 4), (30, 7, 5), (33, 9, 9), (20, 20, 3), (8, 9, 2)]
)
def test_it_is_the_grid_of_captum(side: int, window_px: int, stride_px: int) -> None:
    weights = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1))

    def ask(images: Tensor) -> Tensor:
        return (images[:, 0] * weights).sum(dim=(1, 2))

    window = min(window_px, side)
    expected = Occlusion(ask).attribute(
        image, (1, window, window), strides=(1, stride_px, stride_px)
    )
    grid = build_grid(side, side, window_px=window_px, stride_px=stride_px)
    values = torch.stack(
        [
            (image[0, 0] * weights)[p.top : p.top + p.height, p.left : p.left + p.width].sum()
            for p in grid.patches
        ]
    )
    torch.testing.assert_close(paint_patches(grid, values), expected[0, 0], atol=1e-4, rtol=1e-4)


def _measure_blob(asked: list[Patch], patches: Sequence[Patch]) -> Tensor:
    """A bump around row 20, column 36, as wide as the patches are apart."""
    asked += patches
    return torch.tensor(
        [2.0 ** -(((p.top - 20) / 6) ** 2 + ((p.left - 36) / 6) ** 2) for p in patches]
    )


@pytest.mark.parametrize("side", [64, 61])
def test_coarse_to_fine_is_the_full_grid_where_something_is_seen(side: int) -> None:
    grid = build_grid(side, side, window_px=8, stride_px=4)
    full = _measure_blob([], grid.patches)
    asked: list[Patch] = []
    found = measure_coarse_to_fine(grid, lambda patches: _measure_blob(asked, patches))
    assert len(set(asked)) == len(asked) < 0.7 * len(grid.patches)
    strong = full >= 0.1
    torch.testing.assert_close(found[strong].float(), full[strong])
    assert (found - full).abs().max() < 0.1 * full.max()


def test_with_nothing_left_out_coarse_to_fine_is_the_full_grid() -> None:
    grid = build_grid(30, 40, window_px=8, stride_px=4)
    full = _measure_blob([], grid.patches)
    found = measure_coarse_to_fine(grid, lambda patches: _measure_blob([], patches), min_share=0)
    torch.testing.assert_close(found.float(), full)


def test_a_grid_of_one_patch_is_measured() -> None:
    grid = build_grid(8, 8, window_px=8, stride_px=4)
    found = measure_coarse_to_fine(grid, lambda patches: torch.ones(len(patches)))
    assert found.tolist() == [1.0]
