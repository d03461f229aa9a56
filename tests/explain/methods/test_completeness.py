"""Maps that add up: the sum is p(image) - p(baseline), on our own networks too."""

from __future__ import annotations

import pytest
import torch
from captum.attr import ShapleyValues
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig, ModelConfig
from cxresnet.explain.methods.method import (
    AbstractMethod,
    build_methods,
    compute_target_probabilities,
)
from cxresnet.explain.methods.shapley import compute_shapley_values, compute_superpixels
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.predict.decision import CalibratedNetwork

TARGETS = torch.tensor([0, 1])
CONFIG = ExplainConfig(integrated_gradients_steps=200, gradient_samples=600)


def wake_up(model: CXResNet) -> None:
    """Give a fresh network the norms and the head of a trained one, so that places matter."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.2)
    nn.init.normal_(model.head.weight, std=4.0)


@pytest.fixture(scope="module")
def network() -> CalibratedNetwork:
    """Our network, with squeeze and excitation, blurs and a max pool; norms and head awake."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(ModelConfig(preset="nano"), class_count=3).eval()
        wake_up(model)
    return CalibratedNetwork(model, temperature=1.5)


@pytest.fixture(scope="module")
def images() -> Tensor:
    cells = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    return 2 * nn.functional.interpolate(cells, size=(32, 32), mode="bilinear")


def _measure_left_over(method: AbstractMethod, network: nn.Module, images: Tensor) -> Tensor:
    found = method.attribute(network, images, targets=TARGETS)
    with torch.no_grad():
        end = compute_target_probabilities(network, images, TARGETS)
    start = method.compute_baseline_probabilities(network, images, targets=TARGETS)
    assert (end - start).abs().min() > 0.02, "the case says nothing if nothing changes"
    return (end - start - found.sum(dim=(1, 2))).abs()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("deep_lift", 1e-4),  # exact up to rounding
        ("integrated_gradients", 5e-3),  # a path integral through ReLUs, 200 points
        # a mean over 600 chance points
        pytest.param("gradient_shap", 0.05, marks=pytest.mark.slow),
    ],
)
def test_the_sum_is_the_way_from_the_baseline_to_the_image(
    name: str, most: float, network: CalibratedNetwork, images: Tensor
) -> None:
    method = build_methods([name], CONFIG, side_px=32)[0]
    assert method.satisfies_completeness
    assert _measure_left_over(method, network, images).max() < most


@pytest.mark.slow
def test_without_the_replaced_parts_deep_lift_is_not_complete(
    network: CalibratedNetwork, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxresnet.explain.methods.deep_lift._replace_parts", lambda _model: None)
    method = build_methods(["deep_lift"], CONFIG, side_px=32)[0]
    assert _measure_left_over(method, network, images).max() > 1e-3


@pytest.mark.parametrize("preset", ["resnet18", "plain-resnet", "convnet", "mini"])
def test_deep_lift_adds_up_on_other_networks(preset: str, images: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = ModelConfig(preset=preset, widths=(8, 16), depths=(1, 1), stem_width=8)
        model = build_model(config, class_count=3).eval()
        wake_up(model)
    method = build_methods(["deep_lift"], CONFIG, side_px=32)[0]
    assert _measure_left_over(method, model, images).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapley_regions", "kernel_shap"])
def test_values_of_regions_add_up(name: str, network: CalibratedNetwork, images: Tensor) -> None:
    method = build_methods([name], ExplainConfig(kernel_shap_samples=300), side_px=32)[0]
    found = method.attribute(network, images, targets=TARGETS)
    with torch.no_grad():
        end = compute_target_probabilities(network, images, TARGETS)
        start = compute_target_probabilities(network, torch.zeros_like(images), TARGETS)
    for row, image_map in enumerate(found):
        sums = image_map.unique().sum()
        # Two regions of the same value would count once; chance makes that impossible here.
        torch.testing.assert_close(sums, (end - start)[row], atol=1e-3, rtol=0)


@pytest.mark.slow
def test_shapley_values_are_what_captum_says(network: CalibratedNetwork, images: Tensor) -> None:
    regions = torch.zeros(32, 32, dtype=torch.int64)
    regions[:16, 16:], regions[16:, :16], regions[16:, 16:] = 1, 2, 3
    found = compute_shapley_values(network, images[0], regions=regions, target=2, batch_size=5)

    def predict(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images).softmax(1)[:, 2]

    expected = ShapleyValues(predict).attribute(
        images[:1], baselines=0.0, feature_mask=regions[None, None]
    )
    torch.testing.assert_close(found[regions], expected[0, 0], atol=1e-6, rtol=1e-4)


def test_by_hand_two_regions_of_which_only_one_matters() -> None:
    class Left(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            left = images[:, 0, :, :1].sum(dim=(1, 2))
            return torch.stack([torch.zeros_like(left), left], dim=1)

    regions = torch.tensor([[0, 1]])
    image = torch.tensor([[[2.0, 7.0]]])
    found = compute_shapley_values(Left().eval(), image, regions=regions, target=1, batch_size=4)
    # p(image) = sigmoid(2), p(grey) = 1/2; the right pixel changes nothing.
    expected = torch.stack([torch.sigmoid(torch.tensor(2.0)) - 0.5, torch.tensor(0.0)])
    torch.testing.assert_close(found, expected)


def test_kernel_shap_finds_the_piece_that_alone_matters(square_network: nn.Module) -> None:
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 8:16, 16:24] = 1.0
    method = build_methods(
        ["kernel_shap"], ExplainConfig(superpixels_per_side=4, kernel_shap_samples=200), side_px=32
    )[0]
    found = method.attribute(square_network, image, targets=torch.tensor([1]))[0]
    superpixels = compute_superpixels(image[0, 0].numpy(), along_side=4, compactness=0.6)
    inside = superpixels == superpixels[12, 20]
    assert found[12, 20] == found.max()
    assert float(found[12, 20]) == pytest.approx(0.482, abs=0.02)  # sigmoid(4) - sigmoid(0)
    assert found[~torch.from_numpy(inside)].abs().max() < 0.02
