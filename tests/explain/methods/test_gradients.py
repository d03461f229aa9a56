"""A network that is folded for speed gives the gradients of the network itself."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from torch import nn

from cxresnet.core.config import ExplainConfig, ModelConfig
from cxresnet.explain.methods.gradients import ClassProbability, IntegratedGradientsMap
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.presets import build_model
from cxresnet.predict.decision import CalibratedNetwork, fold_for_inference

IMAGES = torch.randn(2, 1, 36, 33, generator=torch.Generator().manual_seed(4))


def build_network(preset: str, *, members: int) -> CalibratedNetwork:
    """Build a network whose head and norms are not those that it starts with."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        models = [
            build_model(ModelConfig(preset=preset), class_count=3).eval() for _ in range(members)
        ]
        for module in (part for model in models for part in model.modules()):
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)
                nn.init.normal_(module.bias, std=0.1)
        for model in models:
            nn.init.normal_(model.head.weight, std=2.0)
            with torch.no_grad():  # undecided, so that its probabilities move
                model.head.bias -= model(IMAGES).mean(dim=0)
    network = CXResNetEnsemble(models).eval() if members > 1 else models[0]
    return CalibratedNetwork(network, temperature=1.5, shifts=(0.1, 0.0, -0.1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "members"), [("nano", 1), ("nano", 2), ("convnet", 1), ("plain-resnet", 1)]
)
def test_integrated_gradients_are_those_of_captum(preset: str, members: int) -> None:
    network = build_network(preset, members=members)
    targets = torch.tensor([0, 2])
    method = IntegratedGradientsMap.from_config(
        ExplainConfig(integrated_gradients_steps=6), side_px=32
    )
    found = method.attribute(network, IMAGES, targets=targets)
    for image, target, values in zip(IMAGES, targets.tolist(), found, strict=True):
        expected = IntegratedGradients(ClassProbability(network, target)).attribute(
            image[None], baselines=0.0, n_steps=6, method="gausslegendre"
        )
        assert expected.abs().max() > 1e-3, "the case says nothing if nothing matters"
        torch.testing.assert_close(values, expected[0, 0].float(), atol=1e-5, rtol=1e-4)


def test_a_folded_network_is_differentiated_by_its_images_only() -> None:
    network = build_network("nano", members=1)
    image = IMAGES[:1].clone().requires_grad_()
    folded = fold_for_inference(network)
    (found,) = torch.autograd.grad(folded(image).softmax(dim=1)[0, 1], image)
    expected = Saliency(ClassProbability(network, 1)).attribute(image, abs=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert all(parameter.grad is None for parameter in network.parameters())
