"""Loggers that follow a training beside `history.csv`: Lightning's own, by name.

TensorBoard's files lie in the folder of the run. MLflow and Weights & Biases may be on other
machines, so what they are given is on a list: the config sections `model` and `train`, how many
images there are, and the row of each epoch. No image, no class, no path, no name of a source, a
patient, a user or a machine is among it, and their own collecting of such is switched off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from cxresnet import __version__
from cxresnet.core.config import Config, TrainConfig
from cxresnet.core.config.train import MLFLOW_VARIABLE, is_training_helper
from cxresnet.core.errors import ConfigError
from cxresnet.train.inputs import TrainingInputs

_logger = logging.getLogger(__name__)

_PROJECT = "cxresnet"

_SILENCED = {
    # What these packages would report of their use to their makers, unless the user wants it.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}

_MLFLOW_TAGS = {
    # MLflow fills these itself: with the path of the program, the name of the user, the commit.
    "mlflow.source.name": "cxresnet",
    "mlflow.source.type": "LOCAL",
    "mlflow.source.git.commit": "",
    "mlflow.user": "",
}

_WANDB_SETTINGS = {
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "host": "",
    "program": "cxresnet",
    "username": "",
    "email": "",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


@contextlib.contextmanager
def tracking(inputs: TrainingInputs, *, config: Config, folder: Path) -> Iterator[list[Logger]]:
    """Follow a training with the logger of its config.

    Args:
        inputs: Their number is logged.
        config: Names the logger.
        folder: Of the training; what a logger writes on this machine lies in it.

    Yields:
        The loggers, for Lightning's trainer; none where `history.csv` is all.

    Raises:
        ConfigError: The tracker cannot begin, for example because its server does not answer.
    """
    loggers = build_loggers(config.train, folder=folder)
    trackers = list_trackers(loggers)
    for tracker in trackers:
        _start(tracker, describe_hyperparameters(inputs, config=config))
    status = "failed"
    try:
        yield loggers
        status = "success"
    finally:
        for tracker in trackers:
            _finish(tracker, status)


def build_loggers(config: TrainConfig, *, folder: Path) -> list[Logger]:
    """Build the loggers that a config names.

    Args:
        config: Of the training.
        folder: What they write on this machine lies in it.

    Returns:
        None or one. A helper process of a training on several devices has no tracker of its own.
    """
    name = config.logger
    if name == "csv":
        return []
    if name == "auto" and importlib.util.find_spec("tensorboard") is None:
        _logger.info('No TensorBoard history; for one: pip install "cxresnet[track]"')
        return []
    if name in {"auto", "tensorboard"}:
        return [TensorBoardLogger(save_dir=folder, name="tensorboard", version="")]
    if is_training_helper(config):
        return []
    for variable, value in _SILENCED.items():
        os.environ.setdefault(variable, value)
    return [_build_mlflow() if name == "mlflow" else _build_wandb(folder)]


def _build_mlflow() -> MLFlowLogger:
    return MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT),
        run_name=os.environ.get("MLFLOW_RUN_NAME"),
        tracking_uri=os.environ[MLFLOW_VARIABLE],
        tags=dict(_MLFLOW_TAGS),
    )


def _build_wandb(folder: Path) -> WandbLogger:
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        project=os.environ.get("WANDB_PROJECT", _PROJECT),
        save_dir=folder,
        settings=dict(_WANDB_SETTINGS),
    )


def describe_hyperparameters(inputs: TrainingInputs, *, config: Config) -> dict[str, Any]:
    """Describe a training for a tracker: numbers and choices, nothing that names anything."""
    return {
        "cxresnet": __version__,
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "train_images": len(inputs.train),
        "val_images": len(inputs.val),
        "classes": len(inputs.class_names),
        "dataset_hash": inputs.dataset_hash,
    }


def log_epochs(loggers: Sequence[Logger], rows: Sequence[Mapping[str, float]]) -> None:
    """Log rows of the history; a tracker that fails is warned of, and the training goes on.

    TensorBoard writes beside the network: where it fails, the disk is full.

    Args:
        loggers: Of the training.
        rows: By name, each with its "epoch"; numbers that are not finite are left out.
    """
    for logger in loggers:
        for row in rows:
            known = {name: value for name, value in row.items() if math.isfinite(value)}
            try:
                logger.log_metrics(known, step=int(row["epoch"]))
            except Exception as error:
                if isinstance(logger, TensorBoardLogger):
                    raise
                _warn(error)


def list_trackers(loggers: Sequence[Logger]) -> list[Logger]:
    """List the loggers that keep a run of their own, which begins anew where one is resumed."""
    return [one for one in loggers if not isinstance(one, TensorBoardLogger)]


def _start(tracker: Logger, hyperparameters: dict[str, Any]) -> None:
    try:
        tracker.log_hyperparams(hyperparameters)
    except Exception as error:
        raise ConfigError(
            f"The tracker cannot begin: {_shorten(error)} Check its address and that you are "
            "logged in, or train without it: --set train.logger=csv."
        ) from error


def _finish(tracker: Logger, status: str) -> None:
    """End the run of a tracker; Lightning leaves that of Weights & Biases open."""
    try:
        tracker.finalize(status)
        if isinstance(tracker, WandbLogger):
            tracker.experiment.finish(exit_code=int(status != "success"))
    except Exception as error:  # noqa: BLE001  the network is trained
        _warn(error)


def _warn(error: Exception) -> None:
    _logger.warning("The tracker failed; history.csv has everything. %s", _shorten(error))


def _shorten(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200].rstrip('. ')}."
