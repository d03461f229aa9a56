"""The history of a training: `history.csv`, log lines, loggers; and selecting the epoch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from cxresnet.core.config import TrainConfig
from cxresnet.core.files import write_text
from cxresnet.core.progress import track
from cxresnet.train.module import VALIDATION_NAMES, TrainingModule
from cxresnet.train.trackers import list_trackers, log_epochs

_logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ("epoch", "train_loss", *VALIDATION_NAMES, "learning_rate", "seconds")


class History(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Collects the rows; the file is rewritten each epoch, so that it is complete after a stop.

    Args:
        path: Of `history.csv`.
        epochs: At most so many, for the log line.
        monitor: The column by which the epoch is chosen, shown in the log line; or "last".
    """

    def __init__(self, path: Path, *, epochs: int, monitor: str) -> None:
        self._path = path
        self._epochs = epochs
        self._monitor = monitor
        self._began = 0.0
        self._learning_rate = 0.0
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Give the run of a tracker, which is a new one, the rows from before the stop."""
        del pl_module
        log_epochs(list_trackers(trainer.loggers), self.rows)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Look at the clock."""
        del trainer, pl_module
        self._began = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: TrainingModule, *_: Any) -> None:
        """Note the learning rate; at the end of the epoch it is already the next one's."""
        del pl_module
        self._learning_rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Write the row of the epoch."""
        row = {
            "epoch": trainer.current_epoch + 1,
            **pl_module.epoch_metrics,
            "learning_rate": self._learning_rate,
            "seconds": round(time.monotonic() - self._began, 3),
        }
        self.rows.append({name: row[name] for name in HISTORY_COLUMNS})
        if trainer.is_global_zero:
            write_text(self._path, _format_table(self.rows))
            _logger.info("%s", self._describe(row))
        log_epochs(trainer.loggers, [row])

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows for a training that is resumed."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows back."""
        self.rows = list(state_dict["rows"])
        self._began = time.monotonic()

    def _describe(self, row: dict[str, float]) -> str:
        shown = dict.fromkeys(["train_loss", "val_loss", "val_balanced_accuracy", self._monitor])
        numbers = ", ".join(
            f"{name.replace('_', ' ')} {row[name]:.3f}" for name in shown if name in row
        )
        return f"Epoch {row['epoch']}/{self._epochs}: {numbers}, {row['seconds']:.1f} s"


def _format_table(rows: list[dict[str, float]]) -> str:
    lines = [",".join(HISTORY_COLUMNS)]
    lines += [",".join(_format_number(row[name]) for name in HISTORY_COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _format_number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


# Lightning's progress on our own display.


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


# The result of a training.


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of a training.

    Attributes:
        checkpoint: The folder of the network that validation chose.
        epochs: Done in all.
        best_epoch: The chosen one, 1 and up.
        metrics: Of that epoch: train loss and all of `VALIDATION_NAMES`.
        val_images: How many images the validation numbers rest on.
        chosen: Whether those images chose the epoch.
        seconds: Of all epochs together.
    """

    checkpoint: Path
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    val_images: int
    seconds: float
    chosen: bool = True

    def describe(self) -> str:
        """Describe the result in two sentences."""
        balanced, auroc = (
            self.metrics[name] for name in ("val_balanced_accuracy", "val_macro_auroc")
        )
        area = "not defined" if math.isnan(auroc) else f"{auroc:.3f}"
        how = "validation selected" if self.chosen else "the config takes the last,"
        note = ", which also selected the epoch" if self.chosen else ""
        return (
            f"Trained {self.epochs} epochs in {self.seconds:.0f} s; {how} epoch "
            f"{self.best_epoch}: balanced accuracy {balanced:.3f}, macro AUROC {area} "
            f"(n={self.val_images} images of validation{note}). Test it with 'cxresnet evaluate'."
        )


# Validation selects the epoch: its network is kept, and training stops when it no longer improves.


class Selection(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Keeps the best epoch's network and ends the training when the best is long past.

    Args:
        config: Names the metric and the patience.
        keep: Writes the selected network with the epoch's number and metrics.

    Attributes:
        best_epoch: 1 and up; 0 before the first.
        best_metrics: Of that epoch.
    """

    def __init__(
        self, config: TrainConfig, *, keep: Callable[[TrainingModule, int, dict[str, float]], None]
    ) -> None:
        self._config = config
        self._keep = keep
        self._last_epoch = 0
        self.best_epoch = 0
        self.best_metrics: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Stay stopped, if a training that had stopped early is resumed."""
        del pl_module
        trainer.should_stop = self._is_out_of_patience()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Compare the epoch with the best one."""
        self._last_epoch = trainer.current_epoch + 1
        metrics = pl_module.epoch_metrics
        if self._is_better(metrics):
            self.best_epoch = self._last_epoch
            self.best_metrics = dict(metrics)
            if trainer.is_global_zero:
                self._keep(pl_module, self.best_epoch, self.best_metrics)
        if self._is_out_of_patience():
            trainer.should_stop = True
            _logger.info(
                "Stopped early: %s has not improved since epoch %d.",
                self._config.monitor,
                self.best_epoch,
            )

    def state_dict(self) -> dict[str, Any]:
        """Keep what was selected for a training that is resumed."""
        return {
            "last_epoch": self._last_epoch,
            "best_epoch": self.best_epoch,
            "best_metrics": self.best_metrics,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._last_epoch = int(state_dict["last_epoch"])
        self.best_epoch = int(state_dict["best_epoch"])
        self.best_metrics = dict(state_dict["best_metrics"])

    def _is_better(self, metrics: dict[str, float]) -> bool:
        """Compare by the monitor, then by the loss: an AUROC of few images often ties at 1."""
        if self._config.monitor == "last":
            return True
        return self.best_epoch == 0 or self._rate(metrics) > self._rate(self.best_metrics)

    def _rate(self, metrics: dict[str, float]) -> tuple[float, float]:
        value = metrics[self._config.monitor]
        loss = -metrics["val_loss"]
        if self._config.monitor == "val_loss" or math.isnan(value):
            return (loss, loss)
        return (value, loss)

    def _is_out_of_patience(self) -> bool:
        patience = self._config.patience_epochs
        return 0 < patience <= self._last_epoch - self.best_epoch
