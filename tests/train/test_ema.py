"""The moving average of the weights, by hand and against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cxresnet.train.ema import WeightAverage


def build_network(value: float) -> nn.Linear:
    network = nn.Linear(1, 1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(value)
    return network


def test_the_first_steps_by_hand() -> None:
    # Kept in the first step: (1 + 0) / (10 + 0) = 0.1; in the second: 2 / 11.
    average = WeightAverage(build_network(0.0), decay=0.99)

    average.update(build_network(1.0))
    after_one = float(average.network.weight)
    average.update(build_network(1.0))

    assert after_one == pytest.approx(0.9)
    assert float(average.network.weight) == pytest.approx(1 - 0.1 * 2 / 11)


def test_a_long_run_is_pytorch_s_average_and_counts_are_copied() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    ours = WeightAverage(network, decay=0.05)  # below (1 + 0) / (10 + 0): never short
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.05), use_buffers=True)
    theirs.update_parameters(network)  # its first update only copies
    for _ in range(5):
        with torch.no_grad():
            network[0].weight.add_(torch.randn_like(network[0].weight))
        network(torch.randn(4, 1, 8, 8))
        ours.update(network)
        theirs.update_parameters(network)

    expected = theirs.module.state_dict()
    for name, mean in ours.network.state_dict().items():
        if mean.is_floating_point():
            torch.testing.assert_close(mean, expected[name], msg=name)
    assert int(ours.network[1].num_batches_tracked) == 5


def test_the_network_learns_nothing_of_its_average() -> None:
    network = build_network(2.0)
    average = WeightAverage(network, decay=0.9)

    average.update(build_network(5.0))

    assert network.weight.item() == 2.0
    assert not any(weight.requires_grad for weight in average.parameters())


def test_the_plain_mean_by_hand_forgets_what_was_before() -> None:
    average = WeightAverage(build_network(7.0), decay=0.9)
    average.update(build_network(9.0))

    for value in (1.0, 2.0, 6.0):
        average.update(build_network(value), evenly=True)

    assert float(average.network.weight) == pytest.approx(3.0)


def test_the_mean_begins_anew_however_many_steps_were_taken_before() -> None:
    average = WeightAverage(build_network(0.0), decay=0.5)
    for _ in range(30):
        average.update(build_network(8.0))
    assert float(average.network.weight) == pytest.approx(8.0)

    average.update(build_network(2.0), evenly=True)

    assert float(average.network.weight) == pytest.approx(2.0)
    assert (int(average.steps), int(average.even_steps)) == (30, 1)


def test_steps_counted_are_part_of_the_state_so_that_a_resumed_average_goes_on() -> None:
    first = WeightAverage(build_network(0.0), decay=0.99)
    for value in (1.0, 2.0):
        first.update(build_network(value))
    restored = WeightAverage(build_network(5.0), decay=0.99)

    restored.load_state_dict(first.state_dict())
    for average in (first, restored):
        average.update(build_network(3.0))
        average.update(build_network(4.0), evenly=True)
        average.update(build_network(6.0), evenly=True)

    assert float(first.network.weight) == pytest.approx(5.0)
    assert float(restored.network.weight) == float(first.network.weight)


def test_running_statistics_of_norms_are_averaged_too() -> None:
    # Kept in the first step: 0.1.
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, decay=0.99)
    with torch.no_grad():
        network.running_mean.fill_(10.0)

    average.update(network)

    assert float(average.network.running_mean) == pytest.approx(9.0)
