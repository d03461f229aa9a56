"""Lightning's trainer, set up as the config asks."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cxresnet.core.config import TrainConfig
from cxresnet.core.errors import ConfigError
from cxresnet.train.state_folder import StateFolderIO

__all__ = ["build_trainer", "choose_precision"]

_logger = logging.getLogger(__name__)


def build_trainer(config: TrainConfig, *, folder: Path, callbacks: list[Callback]) -> Trainer:
    """Build the trainer.

    Args:
        config: Devices, strategy, precision, epochs.
        folder: Where the run writes; TensorBoard's files come into it.
        callbacks: Ours; Lightning's bar, summary and checkpoints stay off.

    Raises:
        ConfigError: There are no such devices, or Lightning knows no such strategy.
    """
    options: dict[str, Any] = {
        "accelerator": config.accelerator,
        "devices": config.devices,
        "num_nodes": config.num_nodes,
        "strategy": config.strategy,
        "precision": choose_precision(config),
        "sync_batchnorm": torch.cuda.is_available(),  # there is none for CPUs
    }
    try:
        return Trainer(
            **options,
            max_epochs=config.epochs,
            gradient_clip_val=config.gradient_clip or None,
            callbacks=callbacks,
            logger=_build_loggers(folder),
            plugins=[StateFolderIO()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours knows ranks, and keeps its order after a stop
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"The training cannot be set up with accelerator {config.accelerator}, devices "
            f"{config.devices}, strategy {config.strategy}: {error}"
        ) from error


def choose_precision(config: TrainConfig) -> str:
    """Choose the precision: mixed on a GPU, full on a CPU, unless the config says otherwise."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


def _build_loggers(folder: Path) -> list[TensorBoardLogger]:
    if importlib.util.find_spec("tensorboard") is None:
        _logger.info('No TensorBoard history; for one: pip install "cxresnet[track]"')
        return []
    return [TensorBoardLogger(save_dir=folder, name="tensorboard", version="")]
