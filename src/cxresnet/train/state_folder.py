"""The whole state of a training in a folder: what Lightning would pickle, as tensors and JSON.

Lightning hands over one nested dictionary: weights, optimizer, schedule, loops, callbacks. Every
tensor of it goes into safetensors under the path that leads to it, for example
`optimizer_states/0/state/3/exp_avg`; the rest becomes JSON, in which a tensor is only named. The
folder is written whole or not at all, the state before it is kept, and reading runs no code:
`model/sealed_folder.py` sees to that.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from cxresnet.core.errors import CheckpointError
from cxresnet.model.checkpoint import find_valid_checkpoint
from cxresnet.model.tensor_folder import read_tensor_folder, write_tensor_folder

__all__ = ["StateFolderIO", "join_tensors", "split_tensors"]

_STATE = "state"
_WEIGHTS = "weights"
_WEIGHTS_PREFIX = "state_dict/"
"""Where Lightning keeps the weights; that group may hold neither infinity nor NaN."""


class StateFolderIO(CheckpointIO):  # type: ignore[misc]  # mypy does not follow Lightning
    """Lightning's way to disk and back, without pickle; hand it to `Trainer(plugins=[…])`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a state in place of the one before, which stays as NAME.previous.

        Raises:
            CheckpointError: A weight is not finite, or the state holds more than numbers, texts,
                lists, dictionaries and tensors.
            StorageError: The disk is full or may not be written; what stood there still stands.
        """
        del storage_options
        tree, tensors = split_tensors(checkpoint)
        groups: dict[str, dict[str, Tensor]] = {_WEIGHTS: {}, _STATE: {}}
        for name, tensor in tensors.items():
            groups[_WEIGHTS if name.startswith(_WEIGHTS_PREFIX) else _STATE][name] = tensor
        write_tensor_folder(Path(path), tensors=groups, documents={_STATE: tree})

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,
        weights_only: Any | None = None,
    ) -> dict[str, Any]:
        """Read the last state that is whole; a warning is logged if that is not the newest one.

        Returns:
            What `save_checkpoint` was given; every tensor lies on the CPU.

        Raises:
            CheckpointError: Neither the folder nor the state before it is whole.
        """
        del map_location, weights_only
        content = read_tensor_folder(find_valid_checkpoint(Path(path)))
        tensors = {name: one for group in content.tensors.values() for name, one in group.items()}
        try:
            checkpoint = join_tensors(content.documents[_STATE], tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"'{path}' is not the state of a training. Train again without --resume."
            ) from error
        return dict(checkpoint)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a state, if it is there."""
        shutil.rmtree(path, ignore_errors=True)


def split_tensors(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Take the tensors out of a nested structure.

    Args:
        tree: Dictionaries, lists, tuples, texts, numbers (also infinite), booleans, None, tensors.

    Returns:
        JSON that `join_tensors` understands, and the tensors by the path that leads to them.

    Raises:
        CheckpointError: Something else is in it; says where.

    >>> split_tensors({"best": (0.5, None)})
    ({'dict': [['best', {'tuple': [0.5, None]}]]}, {})
    """
    tensors: dict[str, Tensor] = {}
    return _split(tree, path=(), tensors=tensors), tensors


def join_tensors(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `split_tensors`.

    Raises:
        KeyError: A tensor is missing.
        TypeError: The document is not of this form.
        ValueError: The same.
    """
    if isinstance(document, list):
        return [join_tensors(item, tensors) for item in document]
    if not isinstance(document, dict):
        return document
    ((kind, content),) = document.items()
    if kind == "dict":
        return {key: join_tensors(value, tensors) for key, value in content}
    if kind == "tuple":
        return tuple(join_tensors(item, tensors) for item in content)
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return float(content)
    raise ValueError(f"'{kind}' is no kind of value")


def _split(tree: Any, *, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return {"tensor": _name(path, tree, tensors=tensors)}
    if isinstance(tree, Mapping):
        pairs = [
            [_check_key(key, path), _split(value, path=(*path, str(key)), tensors=tensors)]
            for key, value in tree.items()
        ]
        return {"dict": pairs}
    if isinstance(tree, list | tuple):
        items = [
            _split(item, path=(*path, str(number)), tensors=tensors)
            for number, item in enumerate(tree)
        ]
        return {"tuple": items} if isinstance(tree, tuple) else items
    if type(tree) is float and not math.isfinite(tree):
        return {"float": str(tree)}
    if tree is None or type(tree) in {bool, int, float, str}:
        return tree
    raise _refuse(tree, path)


def _name(path: tuple[str, ...], tensor: Tensor, *, tensors: dict[str, Tensor]) -> str:
    name = "/".join(path)
    while name in tensors:  # the keys 0 and "0" of one dictionary, or a key with a slash in it
        name += "'"
    tensors[name] = tensor
    return name


def _check_key(key: Any, path: tuple[str, ...]) -> int | str:
    if type(key) is str or type(key) is int:
        return key
    raise _refuse(key, path)


def _refuse(value: Any, path: tuple[str, ...]) -> CheckpointError:
    where = "/".join(path) or "the top"
    return CheckpointError(
        f"A {type(value).__name__} at {where} cannot be saved without pickle. "
        "Keep numbers, texts, lists, dictionaries and tensors only in what Lightning saves."
    )
