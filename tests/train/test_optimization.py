"""What decays, and how the learning rate runs."""

from __future__ import annotations

import pytest
import torch

from cxresnet.core.config import ModelConfig, TrainConfig
from cxresnet.model.presets import build_model
from cxresnet.train.optimization import build_optimizer, build_schedule


def test_norms_and_biases_do_not_decay_and_everything_is_learned() -> None:
    network = build_model(ModelConfig(preset="nano"), class_count=3)
    names = {id(weight): name for name, weight in network.named_parameters()}

    decaying, free = build_optimizer(network, TrainConfig(weight_decay=0.1)).param_groups

    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert all(weight.ndim > 1 for weight in decaying["params"])
    assert all(weight.ndim <= 1 for weight in free["params"])
    assert {id(weight) for weight in [*decaying["params"], *free["params"]]} == set(names)


def test_the_learning_rate_climbs_then_falls_to_zero() -> None:
    share = build_schedule(warmup_steps=10, total_steps=100)
    shares = [share(step) for step in range(101)]

    assert shares.index(max(shares)) == 10
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[10] == 1
    assert shares[100] == pytest.approx(0)


def test_a_training_shorter_than_its_climb_still_learns() -> None:
    share = build_schedule(warmup_steps=10, total_steps=5)

    assert all(0 < share(step) < 1 for step in range(5))


def test_decay_moves_weights_without_a_gradient_towards_zero() -> None:
    network = torch.nn.Linear(2, 2)
    before = network.weight.detach().clone()
    optimizer = build_optimizer(network, TrainConfig(weight_decay=0.5, learning_rate=0.1))
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)

    optimizer.step()

    # One step of decoupled decay: times 1 - 0.1 × 0.5.
    torch.testing.assert_close(network.weight.detach(), before * 0.95)


def test_the_end_of_a_training_whose_weights_are_averaged_is_level() -> None:
    share = build_schedule(warmup_steps=2, total_steps=20, level_steps=6)

    assert share(2) == 1
    assert share(13) > 0.1
    assert [share(step) for step in range(14, 20)] == pytest.approx([0.1] * 6)
