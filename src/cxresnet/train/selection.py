"""Validation chooses the epoch: its network is kept, and when it stops improving, so do we."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, Trainer

from cxresnet.core.config import TrainConfig
from cxresnet.train.module import TrainingModule

__all__ = ["Selection"]

_logger = logging.getLogger(__name__)


class Selection(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Keeps the best epoch's network and ends the training when the best is long past.

    Args:
        config: Names the metric and the patience.
        keep: Writes the judged network with the epoch's number and metrics.

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
        """Stay stopped, where a training goes on that had stopped early."""
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
        """Keep what was chosen for a training that goes on."""
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
        """Compare by the monitor, then by the loss: an AUROC of few films often ties at 1."""
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
