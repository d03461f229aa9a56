"""What a training was asked for and ran on, without names of machines or people."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from cxresnet import __version__
from cxresnet.core.config import Config
from cxresnet.core.files import write_json
from cxresnet.train.module import TrainingModule

__all__ = ["EnvironmentNote", "collect_versions", "describe_environment"]

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
