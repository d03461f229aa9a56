from __future__ import annotations

import contextlib
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
    read_tensor_folder,
    write_checkpoint,
    write_tensor_folder,
)
from cxresnet.model.presets import build_model, list_presets
from cxresnet.model.resnet import CXResNet
from cxresnet.model.sealed_folder import write_sealed_folder

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


@pytest.mark.slow
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


def test_a_record_of_version_01_is_read_with_its_new_names(folder: Path) -> None:
    old = {"side_px": 32, "fit": "crop", "equalise_limit": 4.0}
    _rewrite_record(folder, format=1, preprocessing=old)
    _, record = read_checkpoint(folder)
    assert record.format == 2
    assert record.preprocessing == {
        "side_px": 32,
        "resize_mode": "crop",
        "equalisation_clip_limit": 4.0,
    }


def test_a_record_of_the_future_is_refused_with_the_way_out(folder: Path) -> None:
    _rewrite_record(folder, format=3, surprise=True)
    with pytest.raises(CheckpointError, match=r"record .* has format 3; .*Update cxresnet"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"class_names": ["one"]}, "class_names"),
        ({"surprise": 1}, "surprise"),
        ({"format": 0}, "format"),
        ({"model": {"preset": ""}}, r"model\.preset"),
        ({"preprocessing": None}, "preprocessing"),
        ({"preprocessing": None, "format": 1}, "preprocessing"),
    ],
)
def test_a_wrong_record_is_refused_with_the_key(
    folder: Path, changes: dict[str, Any], key: str
) -> None:
    _rewrite_record(folder, **changes)
    with pytest.raises(CheckpointError, match=f"is wrong at {key}"):
        read_checkpoint(folder)


def test_a_record_that_is_no_record_at_all_is_refused(folder: Path) -> None:
    weights = read_tensor_folder(folder).tensors
    write_tensor_folder(folder, tensors=weights, documents={"record": ["a", "list"]})
    with pytest.raises(CheckpointError, match="is wrong at the whole"):
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


def test_tensors_of_every_kind_and_documents_come_back_as_they_went(tmp_path: Path) -> None:
    shared = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "weights": {"a": shared, "same memory": shared.T, "half": torch.ones(2).bfloat16()},
        "optimizer": {"step": torch.tensor(7), "empty": torch.zeros(0, 3)},
        "rng": {"torch": torch.get_rng_state()},
        "nothing": {},
    }
    documents = {"record": {"ü": [1, 2.5, None, "x"]}, "state": []}
    write_tensor_folder(tmp_path / "one", tensors=tensors, documents=documents)
    read = read_tensor_folder(tmp_path / "one")
    assert read.documents == documents
    assert {group: set(named) for group, named in read.tensors.items()} == {
        group: set(named) for group, named in tensors.items()
    }
    for group, named in tensors.items():
        for name, tensor in named.items():
            assert torch.equal(read.tensors[group][name], tensor)
            assert read.tensors[group][name].dtype == tensor.dtype


def test_a_tensor_that_needs_a_gradient_or_is_laid_out_otherwise_is_written(tmp_path: Path) -> None:
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    write_tensor_folder(tmp_path / "one", tensors={"weights": {"w": weight}}, documents={})
    assert torch.equal(read_tensor_folder(tmp_path / "one").tensors["weights"]["w"], weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name_before_anything_is_written(
    tmp_path: Path, value: float
) -> None:
    tensors = {"weights": {"good": torch.ones(2), "bad": torch.tensor([1.0, value])}}
    with pytest.raises(CheckpointError, match="'bad' is not finite"):
        write_tensor_folder(tmp_path / "one", tensors=tensors, documents={})
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused_when_read(tmp_path: Path) -> None:
    tensors = {"weights": {"bad": torch.tensor([1.0, float("nan")])}}
    write_tensor_folder(tmp_path / "one", tensors=tensors, documents={}, finite_groups=())
    with pytest.raises(CheckpointError, match=r"weights\.safetensors': 'bad' is not finite"):
        read_tensor_folder(tmp_path / "one")


def test_the_state_of_an_optimizer_may_hold_infinity(tmp_path: Path) -> None:
    tensors = {"optimizer": {"best": torch.tensor(float("inf"))}}
    write_tensor_folder(tmp_path / "one", tensors=tensors, documents={})
    assert read_tensor_folder(tmp_path / "one").tensors["optimizer"]["best"].isinf()


def _write_hostile(folder: Path, content: bytes, *, name: str = "weights.safetensors") -> Path:
    """Write bytes of an attacker who also wrote a manifest that fits them."""
    return write_sealed_folder(folder, {name: content})


def _forge(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HOSTILE = {
    "trailing bytes": safetensors.torch.save({"a": torch.ones(3)}) + b"x",
    "cut off": safetensors.torch.save({"a": torch.ones(3)})[:-1],
    "nothing": b"",
    "header longer than the file": (10**9).to_bytes(8, "little") + b"{}",
    "header length that overflows": b"\xff" * 8 + b"{}",
    "header over the limit": _forge(b"{" + b" " * (5 * 2**20) + b"}"),
    "header that is not JSON": _forge(b"{not json"),
    "overlapping tensors": _forge({"a": ENTRY, "b": ENTRY}, b"0000"),
    "offsets out of the file": _forge({"a": {**ENTRY, "data_offsets": [0, 4000]}}, b"0000"),
    "shape larger than its bytes": _forge({"a": {**ENTRY, "shape": [2**40]}}, b"0000"),
    "shape that overflows": _forge({"a": {**ENTRY, "shape": [2**63, 2**63]}}, b"0000"),
    "unknown kind": _forge({"a": {**ENTRY, "dtype": "PICKLE"}}, b"0000"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_of_tensors_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = _write_hostile(tmp_path / "one", HOSTILE[kind])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors' is not a file of tensors"):
        read_tensor_folder(folder)


class _Payload:
    """Unpickling this creates a file; if any reader unpickles, the file shows it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["weights.safetensors", "record.json", "weights.pt", "a.pkl"])
@pytest.mark.parametrize("protocol", range(6))
def test_a_planted_pickle_never_runs(tmp_path: Path, name: str, protocol: int) -> None:
    mark = tmp_path / "it ran"
    content = pickle.dumps(_Payload(mark), protocol=protocol)
    folder = _write_hostile(tmp_path / "one", content, name=name)
    with pytest.raises(CheckpointError, match=name):
        read_tensor_folder(folder)
    assert not mark.exists()
    pickle.loads(content)  # noqa: S301 - shows that the trap is armed
    assert mark.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "record.json"])
def test_a_planted_torch_checkpoint_never_runs(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "it ran"
    torch.save({"a": _Payload(mark)}, tmp_path / "trap.pt")
    folder = _write_hostile(tmp_path / "one", (tmp_path / "trap.pt").read_bytes(), name=name)
    with pytest.raises(CheckpointError, match=name):
        read_tensor_folder(folder)
    assert not mark.exists()


@pytest.mark.slow
@given(content=st.binary(max_size=200), has_length=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_end_in_tensors_or_in_one_clear_error(
    tmp_path: Path, content: bytes, has_length: bool
) -> None:
    folder = _write_hostile(tmp_path / "fuzz", _forge(content) if has_length else content)
    with contextlib.suppress(CheckpointError):
        read_tensor_folder(folder)


def test_a_document_that_is_not_json_is_refused_by_name(tmp_path: Path) -> None:
    folder = _write_hostile(tmp_path / "one", b"{oops", name="record.json")
    with pytest.raises(CheckpointError, match=r"record\.json' is not valid JSON"):
        read_tensor_folder(folder)
