"""Grad-CAM says what a cell of the last map holds, in probability."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cxresnet.core.errors import ModelModeError
from cxresnet.explain.methods.grad_cam import compute_grad_cam, compute_logit_maps


def test_by_hand_on_a_map_of_two_cells() -> None:
    network = nn.Sequential(
        nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(1, 2, bias=False)
    ).eval()
    network[3].weight.data = torch.tensor([[0.0], [2.0]])
    images = torch.tensor([[[[3.0, 1.0]]]])
    # Mean of the map 2, logits (0, 4). The cells' shares of logit 1: 2 × 3 / 2 = 3 and 2 × 1 / 2.
    logit_maps = compute_logit_maps(network, images, layer=network[0])
    torch.testing.assert_close(logit_maps, torch.tensor([[[[0.0, 0.0]], [[3.0, 1.0]]]]))
    # Without the left cell logit 1 is 1, without the right one 3: sigmoid(4) - sigmoid(1 or 3).
    found = compute_grad_cam(network, images, layer=network[0], targets=torch.tensor([1]))
    expected = torch.sigmoid(torch.tensor(4.0)) - torch.sigmoid(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(found, expected.reshape(1, 1, 2))


def test_before_softmax_it_is_what_captum_says(tiny_network: nn.Module, images: Tensor) -> None:
    found = compute_logit_maps(tiny_network, images, layer=tiny_network.activation)
    method = LayerGradCam(tiny_network, tiny_network.activation)
    for target in range(3):
        expected = method.attribute(images, target=target)
        torch.testing.assert_close(found[:, target], expected[:, 0])


def test_each_cell_is_what_the_network_loses_when_that_cell_is_zero(
    tiny_network: nn.Module, images: Tensor
) -> None:
    targets = torch.tensor([0, 1, 2, 0])
    found = compute_grad_cam(tiny_network, images, layer=tiny_network.activation, targets=targets)
    with torch.no_grad():
        features = tiny_network.forward_features(images)
        whole = tiny_network(images).softmax(1)[torch.arange(4), targets]
        cells = torch.empty(4, 8, 8)
        for row in range(8):
            for column in range(8):
                without = features.clone()
                without[:, :, row, column] = 0
                logits = tiny_network.head(without.mean(dim=(2, 3)))
                left = logits.softmax(1)[torch.arange(4), targets]
                cells[:, row, column] = whole - left
    expected = interpolate(cells[:, None], size=(32, 32), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, expected)
    assert found.abs().max() > 0.01


def test_one_by_one_is_the_same_as_all_at_once(tiny_network: nn.Module, images: Tensor) -> None:
    layer = tiny_network.activation
    targets = torch.tensor([0, 1, 2, 1])
    together = compute_grad_cam(tiny_network, images, layer=layer, targets=targets)
    alone = [
        compute_grad_cam(tiny_network, images[i : i + 1], layer=layer, targets=targets[i : i + 1])
        for i in range(4)
    ]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_frozen_network_can_be_explained(tiny_network: nn.Module, images: Tensor) -> None:
    targets = torch.zeros(4).long()
    layer = tiny_network.activation
    before = compute_grad_cam(tiny_network, images, layer=layer, targets=targets)
    frozen = tiny_network.requires_grad_(False)
    torch.testing.assert_close(
        compute_grad_cam(frozen, images, layer=layer, targets=targets), before
    )


def test_a_network_that_is_training_is_refused(tiny_network: nn.Module, images: Tensor) -> None:
    tiny_network.norm.train()
    with pytest.raises(ModelModeError, match="is training"):
        compute_grad_cam(
            tiny_network, images, layer=tiny_network.activation, targets=torch.zeros(4).long()
        )
