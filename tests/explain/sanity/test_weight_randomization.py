"""Weights are randomised in a copy, from the head down: values stay, their places do not."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.config import ModelConfig
from cxresnet.explain.methods.method import AbstractMethod, AttributionInputs
from cxresnet.explain.sanity import weight_randomization
from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.map_similarity import build_reference_maps
from cxresnet.explain.sanity.weight_randomization import (
    list_parts,
    measure_weight_randomization,
    randomize_all,
    randomize_cascading,
)
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet
from cxresnet.predict.decision import CalibratedNetwork


@pytest.fixture
def network() -> CalibratedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(ModelConfig(preset="nano"), class_count=3).eval()
    return CalibratedNetwork(model, temperature=1.5)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def _copy_state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _count_weights(network: torch.nn.Module) -> int:
    modules = [module for _, part in list_parts(network) for module in part]
    return sum(value.numel() for module in modules for value in module.parameters())


def test_the_parts_go_from_the_head_to_the_stem(network: CalibratedNetwork) -> None:
    names = [name for name, _ in list_parts(network)]
    assert names[0] == "head"
    assert names[-1] == "stem"
    assert names[1:-1] == sorted(names[1:-1], reverse=True)
    assert _count_weights(network) == sum(value.numel() for value in network.parameters())


def test_networks_that_answer_together_unlearn_together(network: CalibratedNetwork) -> None:
    assert isinstance(network.network, CXResNet)
    several = CXResNetEnsemble([network.network, copy.deepcopy(network.network)])
    names = [name for name, _ in list_parts(several)]
    assert names == [name for name, _ in list_parts(network)]
    assert {len(part) for _, part in list_parts(several)} == {2}
    assert _count_weights(several) == 2 * _count_weights(network)


@pytest.mark.slow
def test_the_network_itself_stays_as_it_is(network: CalibratedNetwork, images: Tensor) -> None:
    before = _copy_state(network)
    for _ in randomize_cascading(network, images, seed=0):
        pass
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module.training for module in network.modules())


def test_each_step_changes_its_part_and_leaves_what_lies_below(
    network: CalibratedNetwork, images: Tensor
) -> None:
    before = _copy_state(network)
    steps = randomize_cascading(network, images, seed=0)
    part, shuffled = next(steps)
    after = shuffled.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert part == "head"
    # The bias starts as zeros, which no shuffling changes.
    assert changed == {"network.head.weight"}


@pytest.mark.slow
def test_shuffled_weights_are_the_same_values_elsewhere(
    network: CalibratedNetwork, images: Tensor
) -> None:
    shuffled = dict(randomize_all(network, images, seed=0).named_parameters())
    for name, weights in network.named_parameters():
        theirs = shuffled[name]
        assert torch.equal(weights.flatten().sort().values, theirs.flatten().sort().values)
    stem = next(name for name in shuffled if "stem" in name and shuffled[name].ndim == 4)
    assert not torch.equal(dict(network.named_parameters())[stem], shuffled[stem])


def test_the_copy_evaluates_and_answers_in_numbers(
    network: CalibratedNetwork, images: Tensor
) -> None:
    shuffled = randomize_all(network, images, seed=0)
    assert not any(module.training for module in shuffled.modules())
    with torch.no_grad():
        assert shuffled(images).isfinite().all()


@pytest.mark.slow
def test_one_seed_gives_one_copy(network: CalibratedNetwork, images: Tensor) -> None:
    copies = [randomize_all(network, images, seed=seed)(images) for seed in (3, 3, 4)]
    assert torch.equal(copies[0], copies[1])
    assert not torch.equal(copies[0], copies[2])


@dataclass(frozen=True)
class ImageMap(AbstractMethod):
    """The image itself."""

    name: ClassVar[str] = "image"
    title: ClassVar[str] = "Image"

    @property
    def interpretation(self) -> str:
        return "The image."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        return inputs.images[:, 0]


class Indifferent(nn.Module):
    """Says the same of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2) + torch.tensor([0.0, 1.0])


@dataclass(frozen=True)
class AnswerMap(AbstractMethod):
    """The image where the network says class 1; upside down where it says class 0."""

    name: ClassVar[str] = "answer"
    title: ClassVar[str] = "Answer"

    @property
    def interpretation(self) -> str:
        return "The image, one way up or the other."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        says_one = inputs.model(inputs.images).argmax(dim=1) == 1
        images = inputs.images[:, 0]
        return torch.where(says_one[:, None, None], images, images.flip(1))


def test_randomised_networks_are_explained_and_compared_with_each_methods_own_maps(
    sample: SanityImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reversed(Indifferent):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).flip(1)

    network = Indifferent().eval()
    steps = [("head", network), ("stem", Reversed().eval())]
    monkeypatch.setattr(weight_randomization, "randomize_cascading", lambda *_, **__: iter(steps))
    methods = (ImageMap(), AnswerMap())
    # An image of its own for each method, so that a mix-up is seen.
    reference = {
        "image": build_reference_maps(sample.images[:, 0].numpy()),
        "answer": build_reference_maps(sample.images[:, 0].flip(1).numpy()),
    }
    found = measure_weight_randomization(network, methods, sample, reference=reference, seed=0)
    assert {name: [part for part, _ in rows] for name, rows in found.items()} == {
        "image": ["head", "stem"],
        "answer": ["head", "stem"],
    }
    similarity_retained = {
        (name, part): values["signed"].mean() for name, rows in found.items()
        for part, values in rows
    }  # fmt: skip
    assert similarity_retained["image", "head"] == pytest.approx(1)
    assert similarity_retained["image", "stem"] == pytest.approx(1)
    assert similarity_retained["answer", "head"] < 0.3
    assert similarity_retained["answer", "stem"] == pytest.approx(1)
