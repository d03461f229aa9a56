"""Lightning's steps on our own progress."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from lightning.pytorch import Callback, Trainer

from cxresnet.core.progress import track
from cxresnet.train.module import TrainingModule

__all__ = ["StepProgress"]


class StepProgress(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Reports every training step to `core/progress.py`, in the first process only."""

    def __init__(self) -> None:
        self._ticks: Iterator[int] = iter(())

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Begin; the steps done before a stop are not counted again."""
        del pl_module
        if trainer.is_global_zero:
            left = trainer.max_epochs * trainer.num_training_batches - trainer.global_step
            self._ticks = track(range(left), "Training")
            next(self._ticks, None)

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_batch: Any) -> None:
        """Count one step."""
        del trainer, pl_module
        next(self._ticks, None)

    def on_train_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """End, also after an early stop."""
        del trainer, pl_module
        self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: TrainingModule, exception: BaseException
    ) -> None:
        """End after an error."""
        del trainer, pl_module, exception
        self._end()

    def _end(self) -> None:
        if isinstance(self._ticks, Generator):
            self._ticks.close()
