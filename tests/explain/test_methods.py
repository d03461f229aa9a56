"""Whatever the method: signed, in probability, and nothing left behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods import AbstractMethod, build_methods

METHODS = build_methods(ExplainConfig(), side_px=32)


def _snapshot(network: nn.Module) -> dict[str, object]:
    """Everything of a network that an explanation could leave changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "mode": [module.training for module in network.modules()],
        "hooks": [len(getattr(module, name)) for module in network.modules() for name in hooks],
        "gradients": [parameter.grad for parameter in network.parameters()],
        "wanted": [parameter.requires_grad for parameter in network.parameters()],
        "values": {name: value.tolist() for name, value in network.state_dict().items()},
    }


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_map_has_the_shape_of_the_film_and_stays_within_one(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    found = method.attribute(tiny_network, images, targets=torch.tensor([0, 1, 2, 0]))
    assert found.shape == (4, 32, 32)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.abs().max() <= 1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_network_and_the_films_are_left_as_they_were(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    before, films = _snapshot(tiny_network), copy.deepcopy(images)
    method.attribute(tiny_network, images, targets=torch.tensor([0, 1, 2, 0]))
    assert _snapshot(tiny_network) == before
    assert torch.equal(images, films)
    assert not images.requires_grad
    assert images.grad is None


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("calls_before_the_error", [0, 1, 2])
def test_also_after_an_error_half_way(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor, calls_before_the_error: int
) -> None:
    left = iter(range(calls_before_the_error))

    class Breaks(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            if next(left, None) is None:
                raise RuntimeError("broken on purpose")
            return nn.functional.linear(features, torch.ones(3, 5))

    tiny_network.head = Breaks().eval()
    before = _snapshot(tiny_network)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        method.attribute(tiny_network, images, targets=torch.tensor([0, 1, 2, 0]))
    assert _snapshot(tiny_network) == before


def test_patch_and_step_are_shares_of_the_film() -> None:
    config = ExplainConfig(occlusion_window_share=0.25, occlusion_stride_share=0.125)
    occlusion = build_methods(config, side_px=64)[0]
    assert occlusion.name == "occlusion"
    assert (occlusion.window_px, occlusion.stride_px) == (16, 8)


def test_on_the_smallest_film_the_patch_is_still_a_pixel() -> None:
    config = ExplainConfig(occlusion_window_share=0.01, occlusion_stride_share=0.005)
    occlusion = build_methods(config, side_px=16)[0]
    assert (occlusion.window_px, occlusion.stride_px) == (1, 1)
