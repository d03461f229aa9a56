"""`environment.json`: what a training ran on, without names of machines or people."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import torch

from cxresnet import __version__

__all__ = ["collect_versions", "describe_environment"]

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
