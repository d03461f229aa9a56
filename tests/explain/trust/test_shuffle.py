"""What unlearns is a copy; it keeps its values and loses their places, from the head down."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from cxresnet.core.config import ModelConfig
from cxresnet.explain.calibrated import CalibratedNetwork
from cxresnet.explain.trust.shuffle import list_parts, shuffle_from_the_head, shuffle_whole
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.model.presets import build_model
from cxresnet.model.resnet import CXResNet


@pytest.fixture
def network() -> CalibratedNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(ModelConfig(preset="nano"), class_count=3).eval()
    return CalibratedNetwork(model, temperature=1.5)


@pytest.fixture
def films() -> Tensor:
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


def test_the_network_itself_stays_as_it_is(network: CalibratedNetwork, films: Tensor) -> None:
    before = _copy_state(network)
    for _ in shuffle_from_the_head(network, films, seed=0):
        pass
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(module.training for module in network.modules())


def test_each_step_changes_its_part_and_leaves_what_lies_below(
    network: CalibratedNetwork, films: Tensor
) -> None:
    before = _copy_state(network)
    steps = shuffle_from_the_head(network, films, seed=0)
    part, shuffled = next(steps)
    after = shuffled.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert part == "head"
    # The bias starts as zeros, which no shuffling changes.
    assert changed == {"network.head.weight"}


def test_shuffled_weights_are_the_same_values_elsewhere(
    network: CalibratedNetwork, films: Tensor
) -> None:
    shuffled = dict(shuffle_whole(network, films, seed=0).named_parameters())
    for name, weights in network.named_parameters():
        theirs = shuffled[name]
        assert torch.equal(weights.flatten().sort().values, theirs.flatten().sort().values)
    stem = next(name for name in shuffled if "stem" in name and shuffled[name].ndim == 4)
    assert not torch.equal(dict(network.named_parameters())[stem], shuffled[stem])


def test_the_copy_evaluates_and_answers_in_numbers(
    network: CalibratedNetwork, films: Tensor
) -> None:
    shuffled = shuffle_whole(network, films, seed=0)
    assert not any(module.training for module in shuffled.modules())
    with torch.no_grad():
        assert shuffled(films).isfinite().all()


def test_one_seed_gives_one_copy(network: CalibratedNetwork, films: Tensor) -> None:
    copies = [shuffle_whole(network, films, seed=seed)(films) for seed in (3, 3, 4)]
    assert torch.equal(copies[0], copies[1])
    assert not torch.equal(copies[0], copies[2])
