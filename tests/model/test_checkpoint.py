from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from cxresnet import DISCLAIMER
from cxresnet.core.config import ModelConfig
from cxresnet.core.errors import CheckpointError
from cxresnet.model.checkpoint import (
    CheckpointRecord,
    find_valid_checkpoint,
    load_weights,
    read_checkpoint,
    read_model,
    write_checkpoint,
)
from cxresnet.model.presets import build_model, list_presets
from cxresnet.model.resnet import CXResNet
from cxresnet.model.tensor_folder import write_tensor_folder

TINY = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
RECORD = CheckpointRecord(
    model=TINY,
    class_names=("normal", "pneumonia", "covid-19"),
    preprocessing={"side_px": 32, "mean": 0.5},
    dataset_hash="abc",
    versions={"torch": "2.13.0"},
    metrics={"macro_auroc": {"value": 0.9, "n": 10}},
    notes={"epoch": 3},
)


@pytest.fixture
def network() -> CXResNet:
    torch.manual_seed(0)
    network = build_model(TINY, class_count=3)
    for _ in range(3):  # let the norms see something
        network(torch.randn(8, 1, 32, 32))
    return network.eval()


@pytest.fixture
def folder(tmp_path: Path, network: CXResNet) -> Path:
    return write_checkpoint(tmp_path / "checkpoint", tensors=network.state_dict(), record=RECORD)


def _rewrite_record(folder: Path, **changes: Any) -> None:
    """Write the folder anew, whole, with another record."""
    weights, _ = read_checkpoint(folder)
    document = json.loads((folder / "record.json").read_text()) | changes
    write_tensor_folder(folder, tensors={"weights": weights}, documents={"record": document})


def test_a_network_that_was_written_and_read_gives_the_same_logits(
    folder: Path, network: CXResNet
) -> None:
    copy, record = read_model(folder)
    images = torch.randn(4, 1, 40, 40)
    assert not copy.training
    assert record.class_names == RECORD.class_names
    with torch.no_grad():
        assert torch.equal(copy(images), network(images))


def test_every_tensor_comes_back_bit_by_bit(folder: Path, network: CXResNet) -> None:
    weights, _ = read_checkpoint(folder)
    state = network.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], state[name]) for name in state)


@pytest.mark.parametrize("preset", [preset.name for preset in list_presets()])
def test_every_preset_survives_the_way_to_the_disk(tmp_path: Path, preset: str) -> None:
    network = build_model(ModelConfig(preset=preset, harmonic=True), class_count=2).eval()
    record = RECORD.model_copy(
        update={"model": network_config(preset), "class_names": ("sick", "well")}
    )
    write_checkpoint(tmp_path / "one", tensors=network.state_dict(), record=record)
    images = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(read_model(tmp_path / "one")[0](images), network(images))


def network_config(preset: str) -> ModelConfig:
    return ModelConfig(preset=preset, harmonic=True)


def test_the_record_comes_back_with_the_model_written_out_in_full(folder: Path) -> None:
    _, record = read_checkpoint(folder)
    assert record.model.dropout is not None
    assert record.model.widths == (4, 8)
    assert record.model_copy(update={"model": TINY}) == RECORD


def test_the_record_says_what_the_network_is_not_for(folder: Path) -> None:
    assert json.loads((folder / "record.json").read_text())["disclaimer"] == DISCLAIMER


def test_a_network_in_another_memory_layout_is_written_and_read(
    tmp_path: Path, network: CXResNet
) -> None:
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = network(images)
        network.to(memory_format=torch.channels_last)
        write_checkpoint(tmp_path / "one", tensors=network.state_dict(), record=RECORD)
        assert torch.equal(read_model(tmp_path / "one")[0](images), expected)


def test_a_torn_checkpoint_falls_back_to_the_one_before_it(
    folder: Path, network: CXResNet, caplog: pytest.LogCaptureFixture
) -> None:
    newer = RECORD.model_copy(update={"notes": {"epoch": 4}})
    write_checkpoint(folder, tensors=network.state_dict(), record=newer)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        found = find_valid_checkpoint(folder)
    assert "weights.safetensors' is cut off" in caplog.text
    assert read_checkpoint(found)[1].notes == {"epoch": 3}


def test_weights_that_are_not_finite_do_not_replace_good_ones(
    folder: Path, network: CXResNet
) -> None:
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"'head\.weight' is not finite"):
        write_checkpoint(folder, tensors=network.state_dict(), record=RECORD)
    assert read_checkpoint(folder)[1] is not None


def test_a_missing_tensor_is_named(network: CXResNet) -> None:
    weights = network.state_dict()
    del weights["head.bias"]
    with pytest.raises(CheckpointError, match=r"'head\.bias' is missing \(1 differ\)"):
        load_weights(network, weights)


def test_an_unknown_tensor_is_named(network: CXResNet) -> None:
    weights = {**network.state_dict(), "extra": torch.ones(1)}
    with pytest.raises(CheckpointError, match="'extra' is unknown"):
        load_weights(network, weights)


@pytest.mark.parametrize("wrong", [torch.zeros(4), torch.zeros(3, dtype=torch.float64)])
def test_a_misshaped_tensor_is_named_and_nothing_is_loaded(
    network: CXResNet, wrong: torch.Tensor
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights = {name: torch.zeros_like(tensor) for name, tensor in before.items()}
    weights["head.bias"] = wrong
    with pytest.raises(CheckpointError, match=r"'head\.bias' is torch.* instead of torch.float32"):
        load_weights(network, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_class_too_many_is_refused(folder: Path) -> None:
    _rewrite_record(folder, class_names=["a", "b", "c", "d"])
    with pytest.raises(CheckpointError, match=r"'head\.bias'|'head\.weight'"):
        read_model(folder)


def test_a_record_of_the_future_is_refused_with_the_way_out(folder: Path) -> None:
    _rewrite_record(folder, format=2, surprise=True)
    with pytest.raises(CheckpointError, match=r"record .* has format 2; .*Update cxresnet"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"class_names": ["one"]}, "class_names"),
        ({"surprise": 1}, "surprise"),
        ({"format": 0}, "format"),
        ({"model": {"preset": ""}}, r"model\.preset"),
        ({"preprocessing": None}, "preprocessing"),
    ],
)
def test_a_wrong_record_is_refused_with_the_key(
    folder: Path, changes: dict[str, Any], key: str
) -> None:
    _rewrite_record(folder, **changes)
    with pytest.raises(CheckpointError, match=f"is wrong at {key}"):
        read_checkpoint(folder)


def test_a_record_of_an_unknown_preset_is_refused(folder: Path) -> None:
    _rewrite_record(folder, model={"preset": "mega"})
    with pytest.raises(CheckpointError, match=r"names a network that is not known.*'mega'"):
        read_model(folder)


def test_a_folder_of_other_tensors_is_no_trained_network(tmp_path: Path) -> None:
    write_tensor_folder(tmp_path / "resume", tensors={"optimizer": {}}, documents={"state": {}})
    with pytest.raises(CheckpointError, match=r"no trained network.*runs/NAME/train/checkpoint"):
        read_checkpoint(tmp_path / "resume")


@pytest.mark.parametrize("missing", ["weights", "record"])
def test_weights_without_a_record_or_a_record_without_weights_are_no_trained_network(
    folder: Path, tmp_path: Path, missing: str
) -> None:
    weights, _ = read_checkpoint(folder)
    document = json.loads((folder / "record.json").read_text())
    write_tensor_folder(
        tmp_path / "half",
        tensors={} if missing == "weights" else {"weights": weights},
        documents={} if missing == "record" else {"record": document},
    )
    with pytest.raises(CheckpointError, match=r"no trained network.*runs/NAME/train/checkpoint"):
        read_checkpoint(tmp_path / "half")


def test_a_network_that_was_read_is_ready_to_predict(folder: Path) -> None:
    assert not any(module.training for module in read_model(folder)[0].modules())


def test_a_record_holds_no_numbers_that_json_cannot() -> None:
    with pytest.raises(ValidationError):
        CheckpointRecord.model_validate({**RECORD.model_dump(), "metrics": {"loss": float("nan")}})
