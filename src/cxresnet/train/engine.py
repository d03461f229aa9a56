"""Lightning's trainer, set up from the config."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from cxresnet import __version__
from cxresnet.core.config import Config, TrainConfig
from cxresnet.core.errors import ConfigError, RunFolderError
from cxresnet.core.files import write_json
from cxresnet.train.checkpointing import StateFolderIO
from cxresnet.train.module import TrainingModule

_logger = logging.getLogger(__name__)


def build_trainer(
    config: TrainConfig, *, folder: Path, callbacks: list[Callback], loggers: list[Logger]
) -> Trainer:
    """Build the trainer.

    Args:
        config: Devices, strategy, precision, epochs.
        folder: Where the run writes.
        callbacks: Ours; Lightning's bar, summary and checkpoints stay off.
        loggers: As of `train/trackers.py`.

    Raises:
        ConfigError: There are no such devices, or Lightning has no such strategy.
    """
    _check_devices(config)
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
            logger=loggers,
            plugins=[StateFolderIO()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # ours handles ranks, and keeps its order after a stop
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"The training cannot be set up with accelerator {config.accelerator}, devices "
            f"{config.devices}, strategy {config.strategy}: {error}"
        ) from error


def _check_devices(config: TrainConfig) -> None:
    """Refuse more processes than there are cores: Lightning would start any number of them.

    Raises:
        ConfigError: There are fewer cores.
    """
    on_cpu = config.accelerator == "cpu" or not (
        torch.cuda.is_available() or torch.backends.mps.is_available()
    )
    cores = os.cpu_count() or 1
    if on_cpu and isinstance(config.devices, int) and config.devices > cores:
        raise ConfigError(
            f"train.devices={config.devices} asks for {config.devices} processes, and this machine "
            f"has {cores} cores. Give at most {cores}."
        )


def choose_precision(config: TrainConfig) -> str:
    """Choose the precision: mixed on a GPU, full on a CPU, unless the config sets it."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


# The environment of a training, without names of machines or people.


_PACKAGES = ("lightning", "numpy", "pandas", "pillow", "safetensors", "torch")


def collect_versions() -> dict[str, str]:
    """Collect the versions of all that the weights depend on, by name."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"cxresnet": __version__, "python": platform.python_version(), **packages}


def describe_environment(*, precision: str, processes: int) -> dict[str, Any]:
    """Describe what a training runs on, as JSON.

    Args:
        precision: As Lightning names it.
        processes: That train together.
    """
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "versions": collect_versions(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "precision": precision,
        "processes": processes,
        "same_seed_same_bits": not gpus,
    }


class EnvironmentNote(Callback):  # type: ignore[misc]  # mypy does not follow Lightning
    """Writes `config.json` and `environment.json` once all processes are there.

    Not before: helper processes run the same command again, and a folder that is in use already
    would turn them away.

    Args:
        folder: Where to write.
        config: The whole config.
    """

    def __init__(self, folder: Path, *, config: Config) -> None:
        self._folder = folder
        self._config = config

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:
        """Write both, in the first process."""
        del pl_module
        if trainer.is_global_zero:
            environment = describe_environment(
                precision=str(trainer.precision), processes=trainer.world_size
            )
            write_json(self._folder / "config.json", self._config.model_dump(mode="json"))
            write_json(self._folder / "environment.json", environment)

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_batch: Any) -> None:
        """Notice that the folder of the run was removed; what comes after would lie there alone.

        Raises:
            RunFolderError: It was.
        """
        del pl_module
        if trainer.is_global_zero and not (self._folder / "config.json").exists():
            raise RunFolderError(
                f"The folder '{self._folder}' was removed while the network was trained. Train "
                "again."
            )


# Settings of the process that a training changes and restores.


_HARMLESS = (
    # Batches are cut from a memory map in this process; workers would make it slower.
    ("The '.*dataloader' does not have many workers", UserWarning),
    # A data set of a few batches is shorter than Lightning's interval; the history is our own.
    ("The number of training batches", UserWarning),
    # Training on a CPU although there is a GPU was the user's choice.
    ("GPU available but not used", UserWarning),
    # Lightning calls PyTorch's old tree functions.
    (".*LeafSpec.*", FutureWarning),
    # The state may be written over the one before; `sealed_folder.py` keeps both whole.
    ("Checkpoint directory .* exists and is not empty", UserWarning),
)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips and the warnings that do not concern a user out of the way.

    Likewise the traceback of a helper thread that ends: where TensorBoard's cannot write, the next
    step of the training says why in one sentence.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    print_thread_error = threading.excepthook
    threading.excepthook = _log_thread_error
    with warnings.catch_warnings():
        for message, category in _HARMLESS:
            warnings.filterwarnings("ignore", message=message, category=category)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            threading.excepthook = print_thread_error


def _log_thread_error(ended: threading.ExceptHookArgs) -> None:
    _logger.debug("A helper thread of the training ended.", exc_info=ended.exc_value)


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed PyTorch and ask for repeatable arithmetic; all of it is put back after the block.

    On a CPU the same seed gives the same bits. On a GPU some operations have no repeatable form;
    there only the convolutions are held to one.
    """
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            torch.use_deterministic_algorithms(not torch.cuda.is_available())
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
