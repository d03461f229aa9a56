"""One row an epoch: `history.csv`, a log line, and TensorBoard where it is installed."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from cxresnet.core.files import write_text
from cxresnet.train.module import TrainingModule
from cxresnet.train.validation import VALIDATION_NAMES

__all__ = ["HISTORY_COLUMNS", "History"]

_logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ("epoch", "train_loss", *VALIDATION_NAMES, "learning_rate", "seconds")


class History(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Collects the rows; the file is written anew each epoch, so that it is whole after a stop.

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
        for logger in trainer.loggers:
            logger.log_metrics(_keep_finite(row), step=trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Keep the rows for a training that goes on."""
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


def _keep_finite(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if math.isfinite(value)}
