"""The fast network answers as the network itself, whatever is covered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cxresnet.explain.methods.incremental.occlusion import build_fast_network
from cxresnet.explain.methods.occlusion import compute_occlusion
from cxresnet.explain.methods.patches import Patch, build_grid, build_occlusion_baseline
from cxresnet.model.architecture import Architecture
from cxresnet.model.blocks import BasicBlock, ConvNorm
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.folding import fold_conv
from cxresnet.model.resnet import CXResNet
from cxresnet.predict.decision import CalibratedNetwork
from networks import build_awake

PRESETS = [
    "nano",
    "convnet",
    *(
        pytest.param(preset, marks=pytest.mark.slow)
        for preset in ("small", "mini", "plain-resnet", "resnet18")
    ),
]


def balance(model: CXResNet, image: Tensor) -> CXResNet:
    """Make the network undecided about an image, so that its probabilities move."""
    with torch.no_grad():
        model.head.bias -= model(image)[0]
    return model


def build_image(height: int, width: int) -> Tensor:
    chance = torch.Generator().manual_seed(3)
    cells = torch.randn(1, 1, 6, 6, generator=chance)
    image = nn.functional.interpolate(cells, size=(height, width), mode="bilinear")[0]
    return 1.5 * image + 0.3 * torch.randn(image.shape, generator=chance)


def ask_slowly(
    model: nn.Module, image: Tensor, patches: tuple[Patch, ...], baseline: Tensor
) -> Tensor:
    images = image.repeat(len(patches), 1, 1, 1)
    for one, patch in zip(images, patches, strict=True):
        place = (
            slice(None),
            slice(patch.top, patch.top + patch.height),
            slice(patch.left, patch.left + patch.width),
        )
        one[place] = baseline[place]
    with torch.no_grad():
        return model(images)


def check(model: nn.Module, *, height: int, width: int) -> None:
    image = build_image(height, width)
    fast = build_fast_network(model)
    assert fast is not None
    grid = build_grid(height, width, window_px=9, stride_px=7)
    odd_ones = (Patch(0, 0, height, width), Patch(height - 1, 0, 1, 1), Patch(3, 5, 2, 11))
    patches = grid.patches + odd_ones
    for name in ("mean", "noise", "clear"):
        baseline = build_occlusion_baseline(name, image, window_px=9, seed=0)
        with torch.inference_mode():
            found = fast.precompute(image).predict_occluded(patches, baseline)
        expected = ask_slowly(model, image, patches, baseline)
        assert expected.std(dim=0).min() > 1e-4, "the case says nothing if nothing changes"
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 45)])
def test_every_preset_on_even_and_odd_images(preset: str, height: int, width: int) -> None:
    check(build_awake(preset=preset), height=height, width=width)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"harmonic": True},
        {"block": "bottleneck"},
        {"antialias": False},
        {"antialias": False, "shortcut": "strided"},
        {"squeeze_excite": False},
        {"stem_width": 24},  # the first block has a shortcut that changes the width
        {"stem": "flat"},
    ],
    ids=str,
)
def test_every_part_that_a_network_may_have(options: dict[str, Any]) -> None:
    check(build_awake(preset="nano", **options), height=34, width=40)


@pytest.mark.slow
def test_the_temperature_counts() -> None:
    check(CalibratedNetwork(build_awake(preset="nano"), temperature=2.5), height=32, width=32)


@pytest.mark.slow
def test_several_networks_that_answer_together() -> None:
    members = [build_awake(preset="nano", seed=seed) for seed in (1, 2, 3)]
    ensemble = CXResNetEnsemble(members).eval()
    check(
        CalibratedNetwork(ensemble, temperature=1.5, shifts=(1.0, 0.0, -1.0)), height=33, width=32
    )


def test_several_networks_of_another_kind_are_left_to_others() -> None:
    members = [build_awake(preset="nano", norm="group", seed=seed) for seed in (1, 2)]
    assert build_fast_network(CXResNetEnsemble(members).eval()) is None


@pytest.mark.slow
def test_the_shifts_count() -> None:
    shifts = (0.5, -1.5, 1.0)
    model = CalibratedNetwork(build_awake(preset="nano"), temperature=0.8, shifts=shifts)
    check(model, height=32, width=32)


def test_a_network_of_another_kind_is_left_to_others(tiny_network: nn.Module) -> None:
    assert build_fast_network(tiny_network) is None
    assert build_fast_network(build_awake(preset="nano", norm="group")) is None


@pytest.mark.slow
def test_the_network_is_left_as_it_was() -> None:
    model = build_awake(preset="nano")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = build_image(32, 32)
    compute_occlusion(model, image[None], targets=torch.tensor([1]), window_px=8, stride_px=4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["nano", pytest.param("small", marks=pytest.mark.slow)])
def test_the_map_is_captums(preset: str) -> None:
    image = build_image(48, 48)[None]
    model = CalibratedNetwork(balance(build_awake(preset=preset), image), temperature=1.3)
    found = compute_occlusion(model, image, targets=torch.tensor([2]), window_px=10, stride_px=6)
    expected = Occlusion(lambda images: model(images).softmax(1)).attribute(
        image, (1, 10, 10), strides=(1, 6, 6), baselines=0, target=2, perturbations_per_eval=16
    )
    assert expected.abs().max() > 1e-3
    assert (found - expected[0]).abs().max() < 1e-5


@pytest.mark.slow
def test_at_the_size_of_the_benchmark_it_is_captums_too() -> None:
    image = build_image(224, 224)[None]
    model = balance(build_awake(preset="small", seed=4), image)
    options = {"sliding_window_shapes": (1, 45, 45), "strides": (1, 45, 45)}
    found = compute_occlusion(model, image, targets=torch.tensor([0]), window_px=45, stride_px=45)
    expected = Occlusion(lambda images: model(images).softmax(1)).attribute(
        image, baselines=0, target=0, perturbations_per_eval=8, **options
    )
    assert expected.abs().max() > 1e-3
    assert (found - expected[0]).abs().max() < 1e-5


def test_a_folded_convolution_is_convolution_and_norm() -> None:
    part = ConvNorm(3, 5, architecture=Architecture(
        stem="flat", stem_width=3, block="basic", widths=(5,), depths=(1,)
    )).eval()  # fmt: skip
    part.norm.running_mean.normal_()
    part.norm.running_var.uniform_(0.5, 2)
    features = torch.randn(2, 3, 9, 11).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(fold_conv(part)(features), part(features))
        torch.testing.assert_close(fold_conv(part, relu=True)(features), part(features).relu())


def test_a_network_with_an_unknown_block_is_computed_as_it_is() -> None:
    class NewBlock(BasicBlock):
        """Computes something else than the block that it inherits from."""

        def forward(self, features: Tensor) -> Tensor:
            return 0.5 * super().forward(features)

    model = build_awake(preset="nano")
    block = next(part for part in model.stages.modules() if isinstance(part, BasicBlock))
    block.__class__ = NewBlock
    assert build_fast_network(model) is None
    found = compute_occlusion(
        model, build_image(32, 32)[None], targets=torch.tensor([1]), window_px=8, stride_px=8
    )
    assert found.abs().max() > 0
