"""AdamW and its schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from cxresnet.core.config import TrainConfig

__all__ = ["build_optimizer", "build_schedule"]

_LEVEL_SHARE = 0.1


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Build AdamW; norms and biases do not decay: they set scale and place, not complexity."""
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def build_schedule(
    *, warmup_steps: int, total_steps: int, level_steps: int = 0
) -> Callable[[int], float]:
    """Build the schedule: from step to the share of the peak learning rate.

    Args:
        warmup_steps: A linear climb to the peak.
        total_steps: After them half a cosine has come down to zero.
        level_steps: So many of the last steps stay level at a tenth of the peak, and the cosine
            comes down to that before: weights that are averaged must go on moving.

    >>> share = build_schedule(warmup_steps=2, total_steps=6)
    >>> [round(share(step), 3) for step in range(7)]
    [0.333, 0.667, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    floor = _LEVEL_SHARE if level_steps else 0.0
    falling_steps = max(1, total_steps - level_steps - warmup_steps)

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        done = min(1.0, (step - warmup_steps) / falling_steps)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return share
