"""The state of a training comes back as it was, or the state before it, or is refused."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxresnet.core.errors import CheckpointError
from cxresnet.train.checkpointing import StateFolderIO, join_tensors, split_tensors

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.integers(0, 9), max_size=3).map(torch.tensor),
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 3)), inner, max_size=3),
    ),
    max_leaves=8,
)


def are_equal(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(are_equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(are_equal, left, right))
    return bool(left == right)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_TREES)
def test_what_is_split_and_joined_is_as_before(tree: Any) -> None:
    document, tensors = split_tensors(tree)

    joined = join_tensors(json.loads(json.dumps(document, allow_nan=False)), tensors)

    assert type(joined) is type(tree)
    assert are_equal(tree, joined)


def test_keys_that_read_alike_keep_their_own_tensors() -> None:
    tree = {0: torch.zeros(1), "0": torch.ones(1), "a/b": torch.ones(2), "a": {"b": torch.ones(3)}}

    joined = join_tensors(*split_tensors(tree))

    assert are_equal(tree, joined)


def test_a_value_that_is_not_a_number_comes_back() -> None:
    assert math.isnan(join_tensors(*split_tensors(math.nan)))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", torch.float32])
def test_what_only_pickle_could_save_is_refused_and_its_place_named(value: object) -> None:
    with pytest.raises(CheckpointError, match="at callbacks/mine cannot be saved without pickle"):
        split_tensors({"callbacks": {"mine": value}})


def train_a_little(*, steps: int) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    take_steps(network, optimizer, first=0, last=steps)
    return network, optimizer


def take_steps(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, *, first: int, last: int
) -> None:
    for step in range(first, last):
        inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(inputs).square().sum().backward()
        optimizer.step()


def test_network_and_optimizer_go_on_from_a_folder_to_the_very_same_bits(tmp_path: Path) -> None:
    network, optimizer = train_a_little(steps=3)
    state = {"state_dict": network.state_dict(), "optimizer_states": [optimizer.state_dict()]}
    StateFolderIO().save_checkpoint(state, tmp_path / "state")
    loaded = StateFolderIO().load_checkpoint(tmp_path / "state")
    other, other_optimizer = train_a_little(steps=0)
    other.load_state_dict(loaded["state_dict"])
    other_optimizer.load_state_dict(loaded["optimizer_states"][0])

    take_steps(network, optimizer, first=3, last=6)
    take_steps(other, other_optimizer, first=3, last=6)

    assert are_equal(dict(network.state_dict()), dict(other.state_dict()))
    assert are_equal(optimizer.state_dict(), other_optimizer.state_dict())


def test_every_file_of_a_state_is_tensors_or_json(tmp_path: Path) -> None:
    StateFolderIO().save_checkpoint({"state_dict": {"w": torch.ones(2)}}, tmp_path / "state")

    names = {path.name for path in (tmp_path / "state").iterdir()}

    assert names == {"weights.safetensors", "state.safetensors", "state.json", "MANIFEST.json"}


def test_a_torn_state_gives_way_to_the_one_before_and_this_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 2):
        StateFolderIO().save_checkpoint(
            {"epoch": epoch, "state_dict": {"w": torch.full((4,), float(epoch))}},
            tmp_path / "state",
        )
    torn = tmp_path / "state" / "weights.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])

    with caplog.at_level(logging.WARNING):
        loaded = StateFolderIO().load_checkpoint(tmp_path / "state")

    assert loaded["epoch"] == 1
    assert torch.equal(loaded["state_dict"]["w"], torch.ones(4))
    assert "weights.safetensors' is cut off" in caplog.text


def test_weights_that_are_not_numbers_never_reach_the_disk(tmp_path: Path) -> None:
    io = StateFolderIO()
    io.save_checkpoint({"state_dict": {"w": torch.ones(1)}}, tmp_path / "state")

    with pytest.raises(CheckpointError, match="not finite"):
        io.save_checkpoint({"state_dict": {"w": torch.tensor([math.nan])}}, tmp_path / "state")

    assert torch.equal(io.load_checkpoint(tmp_path / "state")["state_dict"]["w"], torch.ones(1))


def test_a_removed_state_is_gone_and_one_that_never_was_is_no_error(tmp_path: Path) -> None:
    io = StateFolderIO()
    io.save_checkpoint({"state_dict": {}}, tmp_path / "state")

    io.remove_checkpoint(tmp_path / "state")
    io.remove_checkpoint(tmp_path / "never")

    assert not (tmp_path / "state").exists()
