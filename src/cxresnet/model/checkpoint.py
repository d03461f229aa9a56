"""A trained network with everything needed to use it, in a folder of tensors and JSON.

`sealed_folder.py` guards the folder as a whole; this file defines what must be in it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import Field, JsonValue, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from cxresnet import DISCLAIMER
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.errors import CheckpointError, ConfigError
from cxresnet.core.record import Record
from cxresnet.model.ensemble import Network
from cxresnet.model.presets import build_network, complete_config
from cxresnet.model.sealed_folder import find_sealed_folder, read_sealed_folder, write_sealed_folder

# A sealed folder of tensors and documents. Nothing is pickled, so reading runs no code.
#
# checkpoint/
#   weights.safetensors   a group of named tensors; one file for each group
#   record.json           a document
#   MANIFEST.json         size and SHA-256 of every other file, see `sealed_folder.py`


FINITE_GROUPS = ("weights",)
"""Groups that may hold neither infinity nor NaN."""

_TENSORS = ".safetensors"
_DOCUMENT = ".json"
_LARGEST_HEADER_BYTES = 4 * 2**20
_WAY_OUT = "Use another checkpoint, or train again."


@dataclass(frozen=True)
class TensorFolder:
    """What a folder held.

    Attributes:
        tensors: From group to tensor name to tensor, on the CPU.
        documents: From document name to its JSON.
    """

    tensors: dict[str, dict[str, Tensor]]
    documents: dict[str, Any]


def write_tensor_folder(
    folder: Path,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, Any],
    finite_groups: Collection[str] = FINITE_GROUPS,
) -> Path:
    """Write tensors and documents in place of what the folder held; that stays as NAME.previous.

    Args:
        folder: The final place.
        tensors: From group to tensor name to tensor; a group becomes GROUP.safetensors.
        documents: From document name to JSON without NaN; becomes DOCUMENT.json.
        finite_groups: Groups that are refused if they hold infinity or NaN.

    Returns:
        The folder.

    Raises:
        CheckpointError: A finite group is not finite, or the folder holds something else.
        StorageError: The disk is full or may not be written; existing files are kept.
    """
    for group in finite_groups:
        _require_finite(tensors.get(group, {}), what=f"The {group} for '{folder}'")
    files = {f"{group}{_TENSORS}": _format_tensors(named) for group, named in tensors.items()}
    files |= {f"{name}{_DOCUMENT}": _format_document(one) for name, one in documents.items()}
    return write_sealed_folder(folder, files)


def read_tensor_folder(
    folder: Path, *, finite_groups: Collection[str] = FINITE_GROUPS
) -> TensorFolder:
    """Read a folder, if every byte of it is as it was written.

    Args:
        folder: As given to `write_tensor_folder`.
        finite_groups: Groups that are refused if they hold infinity or NaN.

    Returns:
        The tensors, on the CPU, and the documents.

    Raises:
        CheckpointError: A file is missing, cut off, longer, altered or not what its name states (it
            is named), the format is newer than this program, or a finite group is not finite.
    """
    tensors: dict[str, dict[str, Tensor]] = {}
    documents: dict[str, Any] = {}
    for name, content in read_sealed_folder(folder).items():
        path = folder / name
        if path.suffix == _TENSORS:
            tensors[path.stem] = _parse_tensors(content, path=path)
        elif path.suffix == _DOCUMENT:
            documents[path.stem] = _parse_document(content, path=path)
        else:
            raise CheckpointError(f"'{path}' is neither tensors nor a document. {_WAY_OUT}")
    for group in finite_groups:
        _require_finite(tensors.get(group, {}), what=f"'{folder / group}{_TENSORS}'")
    return TensorFolder(tensors=tensors, documents=documents)


def _require_finite(tensors: Mapping[str, Tensor], *, what: str) -> None:
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{what}: '{name}' is not finite everywhere. {_WAY_OUT}")


def _format_tensors(named: Mapping[str, Tensor]) -> bytes:
    # A copy of its own for each: safetensors refuses shared and strided memory.
    return safetensors.torch.save(
        {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in named.items()
        }
    )


def _format_document(document: Any) -> bytes:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")


def _parse_tensors(content: bytes, *, path: Path) -> dict[str, Tensor]:
    problem = f"'{path}' is not a file of tensors. {_WAY_OUT}"
    if int.from_bytes(content[:8], "little") > _LARGEST_HEADER_BYTES:
        raise CheckpointError(problem)
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(problem) from error


def _parse_document(content: bytes, *, path: Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not valid JSON. {_WAY_OUT}") from error


_FORMAT = 2
_EARLIER_KEYS = {"fit": "resize_mode", "equalise_limit": "equalisation_clip_limit"}
"""Keys of `preprocessing` in format 1, and what they are called since."""

_WEIGHTS = "weights"
_RECORD = "record"


class CheckpointRecord(Record):
    """What the weights mean; without it they are only numbers.

    Attributes:
        format: Version of this record.
        disclaimer: What the network must not be used for.
        model: The network, written out in full, so that a later change of a preset does no harm.
        class_names: Order of the logits.
        preprocessing: How images become inputs; `data/prepare/preprocessing.py` reads it.
        dataset_hash: Which prepared dataset it learned from.
        versions: Of cxresnet, torch and others, by name.
        metrics: On validation, at the epoch that was chosen.
        notes: Anything else worth knowing, by name.
    """

    format: int = Field(default=_FORMAT, ge=1, le=_FORMAT)
    disclaimer: str = DISCLAIMER
    model: ModelConfig
    class_names: tuple[str, ...] = Field(min_length=2)
    preprocessing: dict[str, JsonValue]
    dataset_hash: str = ""
    versions: dict[str, str] = Field(default={})
    metrics: dict[str, JsonValue] = Field(default={})
    notes: dict[str, JsonValue] = Field(default={})


def write_checkpoint(
    folder: Path, *, tensors: Mapping[str, Tensor], record: CheckpointRecord
) -> Path:
    """Write a trained network; an older one in the folder stays as NAME.previous.

    Args:
        folder: The final place.
        tensors: The network's `state_dict()`.
        record: What they mean; its model is written out in full.

    Returns:
        The folder.

    Raises:
        CheckpointError: A weight is not finite, or the folder holds something else.
        StorageError: The disk is full or may not be written; existing files are kept.
    """
    complete = record.model_copy(update={"model": complete_config(record.model)})
    document = complete.model_dump(mode="json")
    return write_tensor_folder(folder, tensors={_WEIGHTS: tensors}, documents={_RECORD: document})


def find_valid_checkpoint(folder: Path) -> Path:
    """Find a whole checkpoint: the folder itself, else its newer or older sibling with a warning.

    Works for every folder of `write_tensor_folder`, also for the last state of a training.

    Raises:
        CheckpointError: None is valid; the message is about the folder itself.
    """
    return find_sealed_folder(folder)


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], CheckpointRecord]:
    """Read the weights and what they mean.

    Raises:
        CheckpointError: The folder is not whole, not a trained network, not finite, or newer than
            this program.
    """
    content = read_tensor_folder(folder)
    if _WEIGHTS not in content.tensors or _RECORD not in content.documents:
        raise CheckpointError(
            f"'{folder}' holds no trained network: no {_WEIGHTS}.safetensors or no {_RECORD}.json. "
            "Give the checkpoint folder of a run, for example runs/NAME/train/checkpoint."
        )
    return content.tensors[_WEIGHTS], _parse_record(content.documents[_RECORD], folder=folder)


def read_model(folder: Path) -> tuple[Network, CheckpointRecord]:
    """Read a network ready to predict: on the CPU, in evaluation mode.

    Raises:
        CheckpointError: As of `read_checkpoint` and `load_weights`.
    """
    weights, record = read_checkpoint(folder)
    try:
        network = build_network(record.model, class_count=len(record.class_names))
    except ConfigError as error:
        raise CheckpointError(f"'{folder}' names a network that is not known: {error}") from error
    load_weights(network, weights)
    return network.eval(), record


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a network of the same shape, all of them or none.

    Raises:
        CheckpointError: A tensor is missing, unknown or misshaped; it is named.
    """
    expected = network.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys())
    if wrong:
        state = "missing" if wrong[0] in expected else "unknown"
        raise CheckpointError(
            f"The weights do not match the network: '{wrong[0]}' is {state} ({len(wrong)} differ). "
            "Build the network with the model of the checkpoint's record."
        )
    for name, tensor in expected.items():
        given = weights[name]
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            raise CheckpointError(
                f"The weights do not match the network: '{name}' is {given.dtype} "
                f"{tuple(given.shape)} instead of {tensor.dtype} {tuple(tensor.shape)}. "
                "Build the network with the model of the checkpoint's record."
            )
    network.load_state_dict(dict(weights))


def _parse_record(document: JsonValue, *, folder: Path) -> CheckpointRecord:
    version = document.get("format") if isinstance(document, dict) else None
    if isinstance(version, int) and version > _FORMAT:
        raise CheckpointError(
            f"The record of '{folder}' has format {version}; this program reads up to {_FORMAT}. "
            "Update cxresnet to read it."
        )
    try:
        return CheckpointRecord.model_validate(_convert_earlier(document))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointError(
            f"The record of '{folder}' is wrong at {key}: {first['msg']}. "
            "Use another checkpoint, or train again."
        ) from error


def _convert_earlier(document: JsonValue) -> JsonValue:
    """Bring a record of format 1 to today's names; anything else is returned as it is."""
    if not isinstance(document, dict) or document.get("format") != 1:
        return document
    preprocessing = document.get("preprocessing")
    if not isinstance(preprocessing, dict):
        return document
    renamed = {_EARLIER_KEYS.get(key, key): value for key, value in preprocessing.items()}
    return {**document, "format": _FORMAT, "preprocessing": renamed}
