"""How well a network does on validation films, in the few numbers that choose the epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.statistic import compute_value
from cxresnet.train.objective import compute_loss, soften_labels

__all__ = ["VALIDATION_NAMES", "judge_logits"]

VALIDATION_NAMES = ("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auroc")
"""In the order of the history's columns."""


def judge_logits(
    logits: Tensor, labels: NDArray[np.int64], *, class_names: tuple[str, ...], weights: Tensor
) -> dict[str, float]:
    """Judge the logits of all validation films.

    Args:
        logits: (films, classes), on the CPU.
        labels: (films,).
        class_names: Order of the logits.
        weights: How much each class counts in the loss, (classes,).

    Returns:
        From each of `VALIDATION_NAMES` to its value; NaN where it is not defined, for example an
        AUROC without films of a class. Means run over the classes that the films show.
    """
    targets = soften_labels(torch.from_numpy(labels), class_count=len(class_names), smoothing=0.0)
    probabilities = logits.double().softmax(dim=1).numpy()
    judged = Judged(
        class_names=class_names,
        truth=labels,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
    )
    shown = np.unique(labels).tolist()
    values = {
        f"val_{statistic.name}": compute_value(statistic)
        for statistic in build_headline_statistics(judged, classes=shown)
    }
    values["val_loss"] = float(compute_loss(logits, targets, weights))
    return {name: _fill(values[name]) for name in VALIDATION_NAMES}


def _fill(value: float | None) -> float:
    return float("nan") if value is None else value
