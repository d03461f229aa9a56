"""Whatever the method: signed, in its unit, the same again, and nothing left behind."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.core.config.explain import MethodName
from cxresnet.core.errors import ConfigError, ModelModeError
from cxresnet.explain.methods import method as method_module
from cxresnet.explain.methods.method import (
    AbstractMethod,
    AttributionInputs,
    build_methods,
    list_methods,
    register_method,
)

NAMES = get_args(MethodName)
CONFIG = ExplainConfig(gradient_samples=4, integrated_gradients_steps=8, kernel_shap_samples=60)
METHODS = build_methods(NAMES, CONFIG, side_px=32)
TARGETS = torch.tensor([0, 1, 2, 0])


def _snapshot(network: nn.Module) -> dict[str, object]:
    """Everything of a network that an explanation could leave changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "mode": [module.training for module in network.modules()],
        "hooks": [len(getattr(module, name)) for module in network.modules() for name in hooks],
        "gradients": [parameter.grad for parameter in network.parameters()],
        "wanted": [parameter.requires_grad for parameter in network.parameters()],
        "values": {name: value.tolist() for name, value in network.state_dict().items()},
        "modules": [str(module) for module in network.modules()],
        "devices": [parameter.device for parameter in network.parameters()],
    }


@pytest.fixture(params=METHODS, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> AbstractMethod:
    return request.param


def test_every_name_of_the_config_is_a_method_and_says_the_same_name() -> None:
    assert tuple(method.name for method in METHODS) == NAMES
    assert set(list_methods()) == set(NAMES)


@pytest.mark.slow
def test_the_map_has_the_shape_of_the_image(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    found = method.attribute(tiny_network, images, targets=TARGETS)
    assert found.shape == (4, 32, 32)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.abs().max() > 0
    if method.unit == "change of probability":
        assert found.abs().max() <= 1


@pytest.mark.slow
def test_another_class_has_another_map(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    first = method.attribute(tiny_network, images, targets=TARGETS)
    other = method.attribute(tiny_network, images, targets=(TARGETS + 1) % 3)
    assert not torch.allclose(first, other, atol=1e-6)


@pytest.mark.slow
def test_each_image_is_explained_for_itself(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    together = method.attribute(tiny_network, images, targets=TARGETS)
    for row in range(4):
        one = slice(row, row + 1)
        alone = method.attribute(tiny_network, images[one], targets=TARGETS[one])
        torch.testing.assert_close(together[one], alone, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_the_same_question_has_the_same_answer_and_takes_nobodys_chance(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    first = method.attribute(tiny_network, images, targets=TARGETS)
    torch.manual_seed(99)
    expected = torch.randn(3)
    numpy_expected = np.random.default_rng(0).random()
    np.random.seed(5)  # noqa: NPY002  the state that Captum draws from
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    torch.manual_seed(99)
    assert torch.equal(method.attribute(tiny_network, images, targets=TARGETS), first)
    assert torch.equal(torch.randn(3), expected)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert numpy_expected == np.random.default_rng(0).random()


@pytest.mark.slow
def test_the_network_and_the_images_are_left_as_they_were(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    before, untouched = _snapshot(tiny_network), copy.deepcopy(images)
    method.attribute(tiny_network, images, targets=TARGETS)
    assert _snapshot(tiny_network) == before
    assert torch.equal(images, untouched)
    assert not images.requires_grad
    assert images.grad is None


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
    with pytest.raises(RuntimeError, match="broken on purpose"):  # noqa: PT012
        for _ in range(3):  # some methods need only one pass for all images
            method.attribute(tiny_network, images, targets=TARGETS)
    assert _snapshot(tiny_network) == before


def test_a_network_that_is_training_is_refused(
    method: AbstractMethod, tiny_network: nn.Module, images: Tensor
) -> None:
    with pytest.raises(ModelModeError, match=r"call model\.eval\(\) first"):
        method.attribute(tiny_network.train(), images, targets=TARGETS)


def test_every_choice_is_a_parameter_and_the_unit_is_said(method: AbstractMethod) -> None:
    assert set(method.parameters) == set(vars(method))
    assert method.interpretation.endswith(".")
    assert "{class_name}" in method.caption or method.unit == "no unit"
    assert (method.drawn_patch_px is not None) == (method.unit == "probability per pixel")


def test_patch_and_step_are_shares_of_the_image() -> None:
    config = ExplainConfig(occlusion_window_share=0.25, occlusion_stride_share=0.125)
    occlusion = build_methods(["occlusion"], config, side_px=64)[0]
    assert (occlusion.window_px, occlusion.stride_px) == (16, 8)


def test_on_the_smallest_image_the_patch_is_still_a_pixel() -> None:
    config = ExplainConfig(occlusion_window_share=0.01, occlusion_stride_share=0.005)
    occlusion = build_methods(["occlusion"], config, side_px=16)[0]
    assert (occlusion.window_px, occlusion.stride_px) == (1, 1)


def test_an_unknown_layer_is_refused_with_those_that_there_are(
    tiny_network: nn.Module, images: Tensor
) -> None:
    config = ExplainConfig(grad_cam_layer="stages.stage9")
    method = build_methods(["grad_cam"], config, side_px=32)[0]
    with pytest.raises(ConfigError, match=r"no layer 'stages\.stage9'"):
        method.attribute(tiny_network, images, targets=TARGETS)


def test_a_method_that_is_registered_can_be_built(
    monkeypatch: pytest.MonkeyPatch, images: Tensor
) -> None:
    monkeypatch.setattr(method_module, "_METHODS", dict(method_module._METHODS))

    @register_method
    @dataclass(frozen=True)
    class ToyMap(AbstractMethod):
        name: ClassVar[str] = "toy"
        title: ClassVar[str] = "Toy"

        @property
        def interpretation(self) -> str:
            return "The image."

        def _compute(self, inputs: AttributionInputs) -> Tensor:
            return inputs.images[:, 0]

    (toy,) = build_methods(["toy"], CONFIG, side_px=32)  # type: ignore[list-item]
    assert isinstance(toy, ToyMap)
    assert torch.equal(toy.attribute(nn.Identity().eval(), images, targets=TARGETS), images[:, 0])
