"""A sealed folder of tensors and documents. No pickle: reading runs no code.

checkpoint/
  weights.safetensors   a group of named tensors; a group a file
  record.json           a document
  MANIFEST.json         size and SHA-256 of every other file, see `sealed_folder.py`
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cxresnet.core.errors import CheckpointError
from cxresnet.model.sealed_folder import read_sealed_folder, write_sealed_folder

__all__ = ["FINITE_GROUPS", "TensorFolder", "read_tensor_folder", "write_tensor_folder"]

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
        StorageError: The disk is full or may not be written; what stood there still stands.
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
        CheckpointError: A file is missing, cut off, longer, altered or not what its name says (it
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
    problem = f"'{path}' is no file of tensors. {_WAY_OUT}"
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
