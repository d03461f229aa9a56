"""Occlusion says what covering costs, in probability."""

from __future__ import annotations

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cxresnet.core.errors import ModelModeError
from cxresnet.explain.methods.method import AbstractMethod
from cxresnet.explain.methods.occlusion import OcclusionMap, compute_occlusion
from cxresnet.explain.methods.patches import BASELINE_DESCRIPTIONS, build_occlusion_baseline


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
    for image in found:
        row, column = divmod(int(image.argmax()), 32)
        assert 8 <= row < 16
        assert 16 <= column < 24


@pytest.mark.slow
def test_it_is_what_captum_says(tiny_network: nn.Module, images: Tensor) -> None:
    targets = torch.tensor([0, 1, 2, 0])
    found = compute_occlusion(
        tiny_network, images, targets=targets, window_px=6, stride_px=4, batch_size=16
    )
    expected = Occlusion(lambda images: tiny_network(images).softmax(1)).attribute(
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


TARGETS = torch.tensor([0, 1, 2, 0])


def _attribute(method: AbstractMethod, network: nn.Module, images: Tensor) -> Tensor:
    return method.attribute(network, images, targets=TARGETS)


def test_the_range_holds_every_pair_of_baselines_not_only_the_first_with_each_other(
    tiny_network: nn.Module, images: Tensor
) -> None:
    names = ("mean", "blur", "noise")
    method = OcclusionMap(window_px=8, stride_px=8, baselines=names)
    values = _attribute(method, tiny_network, images)
    alone = [
        _attribute(OcclusionMap(window_px=8, stride_px=8, baselines=(name,)), tiny_network, images)
        for name in names
    ]
    found = method.compute_baseline_range(tiny_network, images, targets=TARGETS, values=values)
    assert found is not None
    torch.testing.assert_close(values, alone[0])
    pairs = [(alone[0] - alone[1]).abs(), (alone[0] - alone[2]).abs(), (alone[1] - alone[2]).abs()]
    torch.testing.assert_close(found, torch.stack(pairs).amax(dim=0))
    # Somewhere the second and the third are farther from each other than from the first.
    assert (pairs[2] > torch.maximum(pairs[0], pairs[1]) + 1e-3).any()


def test_it_says_what_a_patch_is_filled_with_and_what_a_value_means() -> None:
    method = OcclusionMap(window_px=8, stride_px=4, baselines=("mean", "noise"))
    first, second = (BASELINE_DESCRIPTIONS[name] for name in method.baselines)
    assert method.baseline == f"{first}; {second}"
    assert f"patch of 8 × 8 px is filled with {first} (" in method.interpretation
    assert "stride 4 px" in method.interpretation


def test_one_baseline_has_no_range(tiny_network: nn.Module, images: Tensor) -> None:
    method = OcclusionMap(window_px=8, stride_px=8)
    assert (
        method.compute_baseline_range(
            tiny_network, images, targets=TARGETS, values=torch.zeros(4, 32, 32)
        )
        is None
    )


class CountingNetwork(nn.Module):
    """Counts the images that go through another network, and the largest batch of them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.count = 0
        self.largest_batch = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += len(images)
        self.largest_batch = max(self.largest_batch, len(images))
        return self.network(images)


def test_coarse_to_fine_saves_forward_passes_and_keeps_the_maximum(
    square_network: nn.Module,
) -> None:
    images = torch.zeros(1, 1, 32, 32)
    images[:, :, 8:16, 16:24] = 1.0
    counts, maps = [], []
    for coarse_to_fine in (False, True):
        network = CountingNetwork(square_network).eval()
        method = OcclusionMap(window_px=4, stride_px=2, coarse_to_fine=coarse_to_fine)
        maps.append(method.attribute(network, images, targets=torch.tensor([1])))
        counts.append(network.count)
    assert counts[0] == 1 + 15 * 15  # the image itself, and every patch
    assert 1 + 8 * 8 < counts[1] < counts[0] / 2
    torch.testing.assert_close(maps[1][0, 8:16, 16:24], maps[0][0, 8:16, 16:24])


@pytest.mark.parametrize("batch_size", [3, 7])
def test_the_method_forwards_no_larger_batches_than_asked(
    tiny_network: nn.Module, images: Tensor, batch_size: int
) -> None:
    network = CountingNetwork(tiny_network).eval()
    _attribute(OcclusionMap(window_px=8, stride_px=8, batch_size=batch_size), network, images)
    assert network.largest_batch == batch_size


def test_the_noise_baseline_comes_from_the_seed_of_the_method(
    tiny_network: nn.Module, images: Tensor
) -> None:
    def expect(seed: int) -> Tensor:
        noise = [
            build_occlusion_baseline("noise", image, window_px=8, seed=seed) for image in images
        ]
        return compute_occlusion(
            tiny_network,
            images,
            targets=TARGETS,
            window_px=8,
            stride_px=8,
            baselines=torch.stack(noise),
        )

    method = OcclusionMap(window_px=8, stride_px=8, baselines=("noise",), seed=11)
    found = _attribute(method, tiny_network, images)
    torch.testing.assert_close(found, expect(11))
    assert not torch.allclose(found, expect(0), atol=1e-4)
