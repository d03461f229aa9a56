from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cxresnet.core.config import ModelConfig
from cxresnet.model.architecture import Architecture
from cxresnet.model.presets import build_model, list_presets
from cxresnet.model.resnet import CXResNet
from cxresnet.model.summary import LayerRow, compute_totals, summarise_model

TINY = Architecture(stem="flat", stem_width=4, block="basic", widths=(4, 8), depths=(1, 1))
PRESETS = [preset.name for preset in list_presets()]


def test_the_table_of_a_tiny_network_is_the_one_worked_out_by_hand() -> None:
    # Multiply-adds at 16 px: stem 16²·4·9 = 9216. Stage 1: twice 16²·4·36 = 73728.
    # Stage 2 at 8 px: 8²·8·36 + 8²·8·72 + 8²·8·4 (projection) = 57344. Head: 8·3.
    # Windows: 3×3 in the stem sees 3; two more see 7; stage 2: + 2·1 = 9, then steps of 2: 13.
    rows = summarise_model(CXResNet(TINY, class_count=3), side_px=16)
    assert rows == [
        LayerRow("stem.conv1", "ConvNorm", (4, 16, 16), 44, 9216, 3),
        LayerRow("stage1.block1", "BasicBlock", (4, 16, 16), 304, 73728, 7),
        LayerRow("stage2.block1", "BasicBlock", (8, 8, 8), 944, 57344, 13),
        LayerRow("pool", "Mean", (8, 1, 1), 0, 0, None),
        LayerRow("head", "Linear", (3,), 27, 24, None),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("harmonic", [False, True])
def test_multiply_adds_are_half_the_operations_that_torch_counts(
    preset: str, harmonic: bool
) -> None:
    network = build_model(ModelConfig(preset=preset, harmonic=harmonic), class_count=3).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 65, 65))
    totals = compute_totals(summarise_model(network, side_px=65))
    assert totals.multiply_adds * 2 == counter.get_total_flops()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_the_parameters_of_the_rows_add_up_to_those_of_the_network(preset: str) -> None:
    network = build_model(ModelConfig(preset=preset), class_count=5)
    totals = compute_totals(summarise_model(network, side_px=32))
    assert totals.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.slow
def test_resnet18_costs_what_is_published() -> None:
    # 1.814 G multiply-adds with three channels and 1000 classes; ours has one and three.
    rows = summarise_model(build_model(ModelConfig(preset="resnet18"), class_count=3), side_px=224)
    expected = 1.814e9 - 2 * 64 * 49 * 112**2 - 512 * 997
    assert compute_totals(rows).multiply_adds == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        TINY,
        dataclasses.replace(TINY, antialias=True, harmonic=True),
        dataclasses.replace(TINY, shortcut="average", block="bottleneck", widths=(8, 16)),
        dataclasses.replace(TINY, stem="pool", block="plain", depths=(2, 1)),
        dataclasses.replace(TINY, stem="classic", widths=(4,), depths=(1,)),
        dataclasses.replace(TINY, stem="deep", antialias=True, widths=(4,), depths=(1,)),
    ],
)
def test_the_window_is_what_gradients_reach(architecture: Architecture) -> None:
    torch.manual_seed(0)
    network = CXResNet(architecture, class_count=2).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 0.1)
    reached = torch.zeros(97, 97)
    for _ in range(60):  # a ReLU or a max pool hides some pixels of one image, not of all images
        image = torch.randn(1, 1, 97, 97, requires_grad=True)
        features = network.forward_features(image)
        middle = features.shape[-1] // 2
        features[0, :, middle, middle].sum().backward()
        reached += image.grad[0, 0].abs()
    rows = [row for row in summarise_model(network, side_px=97) if row.receptive_field_px]
    touched = (reached > 0).any(dim=0).nonzero()
    assert touched.max() - touched.min() + 1 == rows[-1].receptive_field_px


def test_the_network_is_left_as_it_was() -> None:
    network = CXResNet(TINY, class_count=3).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summarise_model(network, side_px=32)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
