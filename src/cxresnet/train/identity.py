"""What makes two trainings the same: only then may one go on from the other's state."""

from __future__ import annotations

from typing import Any

import torch

from cxresnet import __version__
from cxresnet.core.config import Config
from cxresnet.train.material import Material

__all__ = ["describe_identity", "find_difference"]


def describe_identity(material: Material, *, config: Config) -> dict[str, Any]:
    """Describe a training by everything that its weights depend on, as JSON."""
    return {
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json"),
        "dataset_hash": material.dataset_hash,
        "class_names": list(material.class_names),
        "train_films": len(material.train),
        "val_films": len(material.val),
        "cxresnet": __version__,
        "torch": str(torch.__version__),
    }


def find_difference(before: Any, now: Any, *, name: str = "") -> str:
    """Find the first difference of two descriptions.

    Returns:
        For example "train.epochs was 30 and is 40"; "" where there is none.

    >>> find_difference({"train": {"epochs": 30}}, {"train": {"epochs": 40}})
    'train.epochs was 30 and is 40'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else str(key)
            found = find_difference(before.get(key), now.get(key), name=inner)
            if found:
                return found
        return ""
    return "" if before == now else f"{name} was {before} and is {now}"
