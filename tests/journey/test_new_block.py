"""A block that the package does not know is added by one class, and every room works with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ModelConfig
from cxresnet.core.errors import ConfigError
from cxresnet.explain.methods.incremental.occlusion import build_fast_network
from cxresnet.explain.methods.occlusion import compute_occlusion
from cxresnet.model import blocks
from cxresnet.model.blocks import (
    Block,
    ConvNorm,
    FoldableBlock,
    Shortcut,
    get_block,
    register_block,
)
from cxresnet.model.diagram import draw_architecture
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.model.summary import compute_totals, summarise_model


class ToyBlock(Block):
    """A grouped 3×3 convolution beside a shortcut; says nothing about folding."""

    def __init__(self, in_width: int, width: int, *, stride: int, **options: Any) -> None:
        super().__init__()
        self.narrow = ConvNorm(in_width, width, stride=stride, architecture=options["architecture"])
        self.activation = nn.ReLU()
        self.grouped = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.shortcut = Shortcut(
            in_width, width, stride=stride, architecture=options["architecture"]
        )
        self.end = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        branch = self.grouped(self.activation(self.narrow(features)))
        out: Tensor = self.end(branch + self.shortcut(features))
        return out


class FoldableToyBlock(Block):
    """One convolution beside a shortcut, which says how it folds."""

    def __init__(self, in_width: int, width: int, *, stride: int, **options: Any) -> None:
        super().__init__()
        self.conv = ConvNorm(in_width, width, stride=stride, architecture=options["architecture"])
        self.shortcut = Shortcut(
            in_width, width, stride=stride, architecture=options["architecture"]
        )
        self.end = nn.ReLU()

    @property
    def last_norm(self) -> nn.Module:
        return self.conv.norm

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.end(self.conv(features) + self.shortcut(features))
        return out

    def describe_fold(self) -> FoldableBlock:
        return FoldableBlock(branch=(self.conv,), shortcut=self.shortcut)


class WronglyFoldedBlock(FoldableToyBlock):
    """Says that it folds, but with a layer that folding does not know."""

    def describe_fold(self) -> FoldableBlock:
        return FoldableBlock(branch=(nn.ReLU(), self.conv), shortcut=self.shortcut)


TOYS = {"toy": ToyBlock, "foldable": FoldableToyBlock, "wrong": WronglyFoldedBlock}


@pytest.fixture(params=TOYS)
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a block that is registered for one test."""
    monkeypatch.setattr(blocks, "_BLOCKS", dict(blocks._BLOCKS))
    name: str = request.param
    register_block(name, label="grouped 3×3")(TOYS[name])
    return name


def build(name: str, *, seed: int = 1) -> CXResNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = ModelConfig(preset="nano", block=name, widths=(8, 12), depths=(1, 2))
        model = build_model(config, class_count=3)
        nn.init.normal_(model.head.weight, std=2.0)
    return model


def test_it_trains(toy: str) -> None:
    torch.manual_seed(0)
    model = build(toy).train()
    images, labels = torch.randn(8, 1, 32, 32), torch.arange(8) % 3
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    if toy != "toy":
        fresh = build(toy).stages.get_submodule("stage1.block1.conv.norm")
        assert not fresh.get_parameter("weight").any()


def test_it_is_summarised_and_drawn(toy: str) -> None:
    model = build(toy)
    rows = summarise_model(model, side_px=32)
    assert {row.kind for row in rows if ".block" in row.layer} == {TOYS[toy].__name__}
    assert compute_totals(rows).parameters == sum(one.numel() for one in model.parameters())
    drawing = draw_architecture(model, side_px=32)
    assert "grouped 3×3" in drawing
    assert f"1 {toy} block" in drawing


@pytest.mark.parametrize("members", [1, 2])
def test_occlusion_equals_the_plain_method(toy: str, members: int) -> None:
    networks = [build(toy, seed=seed).eval() for seed in range(members)]
    model = networks[0] if members == 1 else CXResNetEnsemble(networks).eval()
    assert (build_fast_network(model) is None) == (toy != "foldable")
    image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    plain = nn.Sequential(model).eval()  # of no kind that is taken apart
    targets = torch.tensor([1])
    found, expected = (
        compute_occlusion(one, image, targets=targets, window_px=10, stride_px=7)
        for one in (model, plain)
    )
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_unknown_block_is_refused_with_the_names_that_are_known() -> None:
    config = ModelConfig(preset="nano", block="botleneck")
    with pytest.raises(ConfigError, match=r"no block 'botleneck'\. Did you mean 'bottleneck'\?"):
        build_model(config, class_count=3)
    with pytest.raises(ConfigError, match="Known blocks: plain, basic, bottleneck"):
        get_block("x")


def test_two_blocks_of_one_name_are_a_mistake(toy: str) -> None:
    with pytest.raises(ValueError, match=f"already is a block '{toy}'"):
        register_block(toy, label="")(ToyBlock)
