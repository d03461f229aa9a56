"""A trained network with everything needed to use it, in a folder of tensors and JSON.

`sealed_folder.py` sees to it that the folder is whole; this file says what must be in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor, nn

from cxresnet import DISCLAIMER
from cxresnet.core.config.model import ModelConfig
from cxresnet.core.errors import CheckpointError, ConfigError
from cxresnet.model.ensemble import Network
from cxresnet.model.presets import build_network, complete_config
from cxresnet.model.sealed_folder import find_sealed_folder
from cxresnet.model.tensor_folder import read_tensor_folder, write_tensor_folder

__all__ = [
    "CheckpointRecord",
    "find_valid_checkpoint",
    "load_weights",
    "read_checkpoint",
    "read_model",
    "write_checkpoint",
]

_FORMAT = 1
_WEIGHTS = "weights"
_RECORD = "record"


class CheckpointRecord(BaseModel):
    """What the weights mean; without it they are only numbers.

    Attributes:
        format: Version of this record.
        disclaimer: What the network must not be used for.
        model: The network, written out in full, so that a later change of a preset does no harm.
        class_names: Order of the logits.
        preprocessing: How films become inputs; `data/preprocess.py` reads it.
        dataset_hash: Which prepared dataset it learned from.
        versions: Of cxresnet, torch and others, by name.
        metrics: On validation, at the epoch that was chosen.
        notes: Anything else worth knowing, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = Field(default=_FORMAT, ge=1, le=_FORMAT)
    disclaimer: str = DISCLAIMER
    model: ModelConfig
    class_names: tuple[str, ...] = Field(min_length=2)
    preprocessing: dict[str, JsonValue]
    dataset_hash: str = ""
    versions: dict[str, str] = {}
    metrics: dict[str, JsonValue] = {}
    notes: dict[str, JsonValue] = {}


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
        StorageError: The disk is full or may not be written; what stood there still stands.
    """
    complete = record.model_copy(update={"model": complete_config(record.model)})
    document = complete.model_dump(mode="json")
    return write_tensor_folder(folder, tensors={_WEIGHTS: tensors}, documents={_RECORD: document})


def find_valid_checkpoint(folder: Path) -> Path:
    """Find a whole checkpoint: the folder itself, else its newer or older sibling with a warning.

    Works for every folder of `write_tensor_folder`, also for the last state of a training.

    Raises:
        CheckpointError: None is whole; says what is wrong with the folder itself.
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
            f"The weights do not fit the network: '{wrong[0]}' is {state} ({len(wrong)} differ). "
            "Build the network with the model of the checkpoint's record."
        )
    for name, tensor in expected.items():
        given = weights[name]
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            raise CheckpointError(
                f"The weights do not fit the network: '{name}' is {given.dtype} "
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
        return CheckpointRecord.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise CheckpointError(
            f"The record of '{folder}' is wrong at {key}: {first['msg']}. "
            "Use another checkpoint, or train again."
        ) from error
