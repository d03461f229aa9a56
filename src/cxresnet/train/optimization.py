"""AdamW and its schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from cxresnet.core.config import TrainConfig

__all__ = ["build_optimizer", "build_schedule"]


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Build AdamW; norms and biases do not decay: they set scale and place, not complexity."""
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def build_schedule(*, warmup_steps: int, total_steps: int) -> Callable[[int], float]:
    """Build the schedule: from step to the share of the peak learning rate.

    >>> share = build_schedule(warmup_steps=2, total_steps=6)
    >>> [round(share(step), 3) for step in range(7)]
    [0.333, 0.667, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return share
