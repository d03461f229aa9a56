from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import convolve
from torch.nn import functional

from cxresnet.model.layers import (
    BlurPool,
    HarmonicConv,
    SqueezeExcite,
    StochasticDepth,
    compute_cosine_filters,
)


def test_the_blur_pool_gives_what_is_worked_out_by_hand() -> None:
    # One bright pixel at (1, 1) of 3×3. Outputs sit at (0, 0), (0, 2), (2, 0), (2, 2): each is
    # one step away in both directions, so each sees 1/4 · 1/4 of it.
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 1, 1] = 16.0
    assert torch.equal(BlurPool(1)(image), torch.ones(1, 1, 2, 2))


def test_the_blur_pool_equals_scipy_then_every_second_pixel() -> None:
    features = torch.rand(2, 3, 7, 10)
    kernel = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    expected = np.stack(
        [[convolve(plane, kernel, mode="nearest") for plane in one] for one in features.numpy()]
    )
    np.testing.assert_allclose(BlurPool(3)(features), expected[:, :, ::2, ::2], atol=1e-6)


def test_the_blur_pool_keeps_a_flat_map_flat_up_to_the_edge() -> None:
    flat = torch.full((1, 4, 5, 1), 3.0)
    assert torch.equal(BlurPool(4)(flat), torch.full((1, 4, 3, 1), 3.0))


def test_the_cosine_filters_are_the_basis_of_scipys_transform() -> None:
    filters = compute_cosine_filters().double().numpy()
    for index, ours in enumerate(filters):
        spectrum = dctn(ours, norm="ortho")
        place = np.unravel_index(index, (3, 3))
        assert spectrum[place] > 0
        others = np.delete(spectrum.ravel(), index)
        np.testing.assert_allclose(others, 0, atol=1e-7)


def test_all_cosine_filters_have_one_absolute_sum_and_together_the_energy_of_nine_pixels() -> None:
    filters = compute_cosine_filters()
    assert torch.allclose(filters[0], filters[0, 0, 0].expand(3, 3))
    sums = filters.abs().sum(dim=(1, 2))
    assert torch.allclose(sums, sums[0].expand(9))
    assert filters.square().sum().item() == pytest.approx(9)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_harmonic_convolution_equals_filtering_first_and_mixing_after(stride: int) -> None:
    torch.manual_seed(0)
    layer = HarmonicConv(3, 5, stride=stride)
    features = torch.randn(2, 3, 9, 8)
    # The paper's way: every channel through each of nine filters, then a learned 1×1.
    bank = compute_cosine_filters().repeat(3, 1, 1).unsqueeze(1)
    filtered = functional.conv2d(features, bank, stride=stride, padding=1, groups=3)
    mixed = functional.conv2d(filtered, layer.mixture.reshape(5, 27, 1, 1))
    assert torch.allclose(layer(features), mixed, atol=1e-5)


def test_a_harmonic_convolution_starts_with_the_variance_of_he() -> None:
    torch.manual_seed(0)
    kernels = HarmonicConv(64, 256, stride=1).compute_kernels()
    energy = kernels.square().sum(dim=(1, 2, 3)).mean()
    assert energy.item() == pytest.approx(2.0, rel=0.05)


def test_squeeze_and_excite_multiplies_each_channel_by_one_number_below_one() -> None:
    torch.manual_seed(0)
    features = torch.rand(2, 16, 4, 5) + 0.5
    factor = SqueezeExcite(16)(features) / features
    assert torch.allclose(factor, factor[:, :, :1, :1].expand_as(factor))
    assert 0 < factor.min() < factor.max() < 1


def test_stochastic_depth_drops_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    kept = StochasticDepth(0.25)(torch.ones(8000, 2, 1, 1))
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert kept.mean().item() == pytest.approx(1.0, abs=0.03)


def test_stochastic_depth_does_nothing_in_evaluation() -> None:
    branch = torch.randn(4, 2, 3, 3)
    assert StochasticDepth(0.9).eval()(branch) is branch
