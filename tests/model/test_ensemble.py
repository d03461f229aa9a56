"""Several networks answer together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxresnet.core.config import ModelConfig
from cxresnet.model.checkpoint import CheckpointRecord, read_model, write_checkpoint
from cxresnet.model.ensemble import CXResNetEnsemble, gather_member_weights
from cxresnet.model.presets import build_model, build_network
from cxresnet.model.resnet import CXResNet

TINY = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))


def _build_members(count: int) -> list[CXResNet]:
    torch.manual_seed(0)
    members = [build_model(TINY, class_count=3) for _ in range(count)]
    for one in members:
        torch.nn.init.normal_(one.head.weight)
        one.eval()
    return members


def test_its_logits_are_the_mean_of_its_members_logits() -> None:
    members = _build_members(3)
    images = torch.randn(2, 1, 32, 32)

    together = CXResNetEnsemble(members).eval()

    expected = sum(one(images) for one in members) / 3
    torch.testing.assert_close(together(images), expected)
    assert together.forward_features(images).shape[1] == 3 * 8


def test_the_explained_layer_holds_the_last_maps_of_all_members() -> None:
    members = _build_members(2)
    together = CXResNetEnsemble(members).eval()
    seen: list[torch.Tensor] = []
    images = torch.randn(1, 1, 32, 32)

    handle = together.target_layer.register_forward_hook(lambda *given: seen.append(given[2]))
    together(images)
    handle.remove()

    torch.testing.assert_close(seen[0][:, 8:], members[1].forward_features(images))


def test_a_checkpoint_of_several_comes_back_as_several(tmp_path: Path) -> None:
    members = _build_members(2)
    weights = gather_member_weights([one.state_dict() for one in members])
    record = CheckpointRecord(
        model=TINY.model_copy(update={"members": 2}),
        class_names=("a", "b", "c"),
        preprocessing={},
    )

    write_checkpoint(tmp_path / "checkpoint", tensors=weights, record=record)
    network, read = read_model(tmp_path / "checkpoint")

    assert isinstance(network, CXResNetEnsemble)
    assert read.model.members == 2
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(images), CXResNetEnsemble(members).eval()(images))


def test_a_config_of_one_member_is_a_plain_network() -> None:
    assert isinstance(build_network(TINY, class_count=2), CXResNet)


def test_one_member_or_unlike_members_are_refused() -> None:
    one = _build_members(1)
    other = build_model(TINY, class_count=2)
    for members in (one, [*one, other]):
        with pytest.raises(ValueError, match="two or more networks of one architecture"):
            CXResNetEnsemble(members)
