"""The state for `--resume`: saved after each epoch, within long ones, and before a stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from cxresnet.train.interruption import Interruption, TrainingStoppedError
from cxresnet.train.module import TrainingModule

__all__ = ["StateSaving"]


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
        """Save within an epoch if it is time or somebody asked to stop.

        The last batch is left to `on_train_epoch_end`, after validation.

        Raises:
            TrainingStoppedError: Somebody asked; the state is saved.
        """
        del pl_module
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        is_due = time.monotonic() - self._saved >= self._seconds
        # All processes save and stop together, whoever of them was asked.
        if trainer.strategy.reduce_boolean_decision(
            is_due or self._interruption.is_asked, all=False
        ):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Save at the end of an epoch.

        Raises:
            TrainingStoppedError: Somebody asked to stop; the state is saved.
        """
        del pl_module
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self._folder)
        self._saved = time.monotonic()
        if trainer.strategy.reduce_boolean_decision(self._interruption.is_asked, all=False):
            raise TrainingStoppedError
