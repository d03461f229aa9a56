"""The state for `--resume`: saved after each epoch, within long ones, and before a stop."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from cxresnet.core.errors import CheckpointError
from cxresnet.model.checkpoint import find_valid_checkpoint, read_tensor_folder, write_tensor_folder
from cxresnet.train.module import TrainingModule

# The whole state of a training in a folder: what Lightning would pickle, as tensors and JSON.
#
# Lightning passes one nested dictionary: weights, optimizer, schedule, loops, callbacks. Every
# tensor of it goes into safetensors under its path, for example
# `optimizer_states/0/state/3/exp_avg`; the rest becomes JSON, in which a tensor is only named. The
# folder is written completely or not at all, the previous state is kept, and reading runs no code:
# `model/sealed_folder.py` sees to that.


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
            StorageError: The disk is full or may not be written; existing files are kept.
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
        CheckpointError: Something else is in it; the message names the place.

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
    raise ValueError(f"'{kind}' is not a kind of value")


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


# Stopping on request: the current batch is finished and the state saved before the process ends.
#
# SIGTERM is how a cluster reclaims a machine; SIGINT is Ctrl-C. A second Ctrl-C stops at once; the
# state on the disk is then the one last saved, and `--resume` continues from there.


_logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_EXIT_TERMINATED = 128 + signal.SIGTERM


class TrainingStoppedError(Exception):
    """Training was stopped on request; the state is saved. Never reaches a user."""


class Interruption:
    """Whether this process was asked to stop, and how."""

    def __init__(self) -> None:
        self._signal: int | None = None

    @property
    def is_requested(self) -> bool:
        """Whether to finish the batch, save the state and stop."""
        return self._signal is not None

    def listen(self) -> None:
        """Become the handler of both signals; only in the main thread, as Python wants it."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self.handle_signal)

    def handle_signal(self, number: int, _frame: FrameType | None = None) -> None:
        """Note a signal; this is its handler.

        Raises:
            KeyboardInterrupt: It is the second Ctrl-C.
        """
        if self._signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        _logger.info("Asked to stop: finishing the batch and saving. Ctrl-C again stops at once.")

    def build_exit(self) -> BaseException:
        """Build what ends the process as the signal would have: codes 143, or 130 for Ctrl-C."""
        if self._signal == signal.SIGTERM:
            return SystemExit(_EXIT_TERMINATED)
        return KeyboardInterrupt()


@contextlib.contextmanager
def watching_signals(interruption: Interruption) -> Iterator[None]:
    """Send SIGTERM and SIGINT to `interruption`; the handlers before come back after the block.

    Does nothing outside of the main thread, where Python does not allow handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    interruption.listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StateSaving(Checkpoint):  # type: ignore[misc]  # mypy does not follow Lightning
    """Saves the whole state; being a `Checkpoint`, Lightning calls it after all others.

    Args:
        folder: Where the state lies; see `state_folder.py`.
        minutes: Within an epoch, save so often.
        interruption: Says whether to save and stop.
    """

    def __init__(self, folder: Path, *, minutes: float, interruption: Interruption) -> None:
        self._folder = folder
        self._seconds = minutes * 60
        self._interruption = interruption
        self._saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Listen to signals again: Lightning has put a handler of its own before ours."""
        del trainer, pl_module
        self._interruption.listen()

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_batch: Any) -> None:
        """Save within an epoch if it is time or a stop was requested.

        The last batch is left to `on_train_epoch_end`, after validation.

        Raises:
            TrainingStoppedError: On request; the state is saved.
        """
        del pl_module
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        is_due = time.monotonic() - self._saved >= self._seconds
        # All processes save and stop together, whichever of them got the signal.
        if trainer.strategy.reduce_boolean_decision(
            is_due or self._interruption.is_requested, all=False
        ):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Save at the end of an epoch.

        Raises:
            TrainingStoppedError: On request; the state is saved.
        """
        del pl_module
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self._folder)
        self._saved = time.monotonic()
        if trainer.strategy.reduce_boolean_decision(self._interruption.is_requested, all=False):
            raise TrainingStoppedError
