from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxresnet.core.errors import CheckpointError
from cxresnet.model.sealed_folder import write_sealed_folder
from cxresnet.model.tensor_folder import read_tensor_folder, write_tensor_folder


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
    with pytest.raises(CheckpointError, match=r"weights\.safetensors' is no file of tensors"):
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


@given(content=st.binary(max_size=200), has_length=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
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
