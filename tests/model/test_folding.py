"""A folded network answers as the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.folding import FoldedNetwork, fold_network
from cxresnet.predict.decision import CalibratedNetwork, fold_for_inference
from networks import build_awake

PRESETS = [
    "nano",
    "convnet",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("small", "mini", "resnet18")),
]


def build_images(side_px: int, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, side_px, side_px, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("side_px", [37, 48])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_folded_network_is_the_network(preset: str, side_px: int) -> None:
    model, images = build_awake(preset=preset), build_images(side_px)

    folded = fold_network(model)

    assert isinstance(folded, FoldedNetwork)
    with torch.inference_mode():
        expected, found = model(images), folded(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stem", ["flat", "pool", "classic", "deep"])
def test_every_stem_folds(stem: str) -> None:
    model, images = build_awake(preset="nano", stem=stem), build_images(32)

    with torch.inference_mode():
        torch.testing.assert_close(fold_network(model)(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_an_ensemble_folds_to_the_mean_of_its_members() -> None:
    members = [build_awake(seed, preset="nano") for seed in (1, 2)]
    model, images = CXResNetEnsemble(members).eval(), build_images(40)

    with torch.inference_mode():
        found, expected = fold_network(model)(images), model(images)

    assert (members[0](images) - expected).abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_calibration_is_kept() -> None:
    model, images = build_awake(preset="nano"), build_images(40)
    calibrated = CalibratedNetwork(model, temperature=1.7, shifts=(0.5, 0.0, -0.5))

    with torch.inference_mode():
        found, expected = fold_for_inference(calibrated)(images), calibrated(images)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_folded_is_used_as_it_is() -> None:
    model = build_awake(preset="nano", norm="group")

    assert fold_network(model) is model
    other = nn.Linear(2, 2)
    assert fold_for_inference(other) is other
    assert isinstance(fold_for_inference(build_awake(preset="nano")), FoldedNetwork)


def test_the_network_keeps_its_weights() -> None:
    model = build_awake(preset="nano")
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with torch.inference_mode():
        fold_network(model)(build_images(32))

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
