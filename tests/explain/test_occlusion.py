"""Occlusion says what covering costs, in probability."""

from __future__ import annotations

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cxresnet.core.errors import ModelModeError
from cxresnet.explain.occlusion import compute_occlusion


def test_by_hand_the_map_is_the_probability_lost_in_the_square(square_network: nn.Module) -> None:
    images = torch.zeros(1, 1, 32, 32)
    images[:, :, 8:16, 16:24] = 0.5
    found = compute_occlusion(
        square_network, images, targets=torch.tensor([1]), window_px=8, stride_px=8
    )
    # The square makes the logit 4 × 0.5 = 2; covered with 0, the logit is 0 and both are equal.
    drop = 1 / (1 + torch.tensor(-2.0).exp()) - 0.5
    expected = torch.zeros(1, 32, 32)
    expected[:, 8:16, 16:24] = drop
    torch.testing.assert_close(found, expected)


def test_what_argues_against_the_class_is_below_zero(square_network: nn.Module) -> None:
    images = torch.zeros(1, 1, 32, 32)
    images[:, :, 8:16, 16:24] = 0.5
    found = compute_occlusion(
        square_network, images, targets=torch.tensor([0]), window_px=8, stride_px=8
    )
    assert found.max() == 0
    assert found[0, 12, 20] == pytest.approx(-0.3808, abs=1e-4)


def test_with_overlapping_patches_the_maximum_lies_in_the_square(
    square_network: nn.Module,
) -> None:
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.2
    images[:, :, 8:16, 16:24] = 1.0
    found = compute_occlusion(
        square_network, images, targets=torch.ones(3, dtype=torch.int64), window_px=8, stride_px=2
    )
    for film in found:
        row, column = divmod(int(film.argmax()), 32)
        assert 8 <= row < 16
        assert 16 <= column < 24


def test_it_is_what_captum_says(tiny_network: nn.Module, images: Tensor) -> None:
    targets = torch.tensor([0, 1, 2, 0])
    found = compute_occlusion(
        tiny_network, images, targets=targets, window_px=6, stride_px=4, batch_size=16
    )
    expected = Occlusion(lambda films: tiny_network(films).softmax(1)).attribute(
        images, (1, 6, 6), strides=(1, 4, 4), baselines=0, target=targets
    )
    torch.testing.assert_close(found, expected[:, 0])


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_one_by_one_is_the_same_as_all_at_once(
    tiny_network: nn.Module, images: Tensor, batch_size: int
) -> None:
    targets = torch.tensor([0, 1, 2, 1])
    options = {"window_px": 8, "stride_px": 4, "batch_size": batch_size}
    together = compute_occlusion(tiny_network, images, targets=targets, **options)
    alone = [
        compute_occlusion(
            tiny_network, images[i : i + 1], targets=targets[i : i + 1], window_px=8, stride_px=4
        )
        for i in range(4)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_network_that_is_training_is_refused(tiny_network: nn.Module, images: Tensor) -> None:
    with pytest.raises(ModelModeError, match=r"call model\.eval\(\) first"):
        compute_occlusion(
            tiny_network.train(), images, targets=torch.zeros(4).long(), window_px=8, stride_px=8
        )
