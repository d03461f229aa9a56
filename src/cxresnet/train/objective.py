"""The loss and the optimizer: cross-entropy with smoothed labels and class weights, AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.core.config import TrainConfig


def compute_class_weights(
    labels: NDArray[np.int64], *, class_count: int, kind: Literal["none", "sqrt", "balanced"]
) -> Tensor:
    """Compute how much each class counts in the loss.

    Args:
        labels: Classes of the training images, (images,).
        class_count: Number of classes.
        kind: "none" is 1 for all; "balanced" is the inverse of the share of the class; "sqrt" its
            square root, a middle way that costs less accuracy on the common classes.

    Returns:
        (class_count,), mean 1 over the training images; 0 for a class without images.
    """
    counts = np.bincount(labels, minlength=class_count).astype(np.float64)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.divide(1.0, counts**power, out=np.zeros_like(counts), where=counts > 0)
    weights *= counts.sum() / (weights * counts).sum()
    return torch.tensor(weights, dtype=torch.float32)


def smooth_labels(labels: Tensor, *, class_count: int, smoothing: float) -> Tensor:
    """Turn classes into target probabilities, (batch, class_count).

    >>> smooth_labels(torch.tensor([1]), class_count=2, smoothing=0.1)
    tensor([[0.0500, 0.9500]])
    """
    hard = functional.one_hot(labels, class_count).float()
    return hard * (1 - smoothing) + smoothing / class_count


def compute_loss(logits: Tensor, targets: Tensor, class_weights: Tensor) -> Tensor:
    """Compute the cross-entropy with target probabilities, each class with its weight.

    Args:
        logits: (batch, classes).
        targets: (batch, classes), each row sums to 1.
        class_weights: (classes,).

    Returns:
        Mean over the batch, a scalar, in nats.
    """
    weighted = targets * class_weights
    return -(weighted * functional.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()


def blend_images(
    images: Tensor, targets: Tensor, *, mixup: float, cutmix: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend each image of a batch with another one, and their targets alike.

    Args:
        images: (batch, 1, height, width).
        targets: (batch, classes).
        mixup: Parameter of the Beta distribution of the weight; 0 does not blend.
        cutmix: The same for the share of the image that is laid over; 0 does not.
        generator: Source of all randomness, on the CPU.

    Returns:
        Blended images and targets.

    References:
        Zhang et al. 2018 (mixup), Yun et al. 2019 (CutMix).
    """
    kinds = [kind for kind, value in (("mixup", mixup), ("cutmix", cutmix)) if value > 0]
    if not kinds:
        return images, targets
    kind = kinds[int(torch.randint(len(kinds), (1,), generator=generator))]
    share = _draw_beta(mixup if kind == "mixup" else cutmix, generator=generator)
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    if kind == "mixup":
        images = share * images + (1 - share) * images[partner]
    else:
        images, share = _lay_over(images, images[partner], share=share, generator=generator)
    return images, share * targets + (1 - share) * targets[partner]


def _draw_beta(parameter: float, *, generator: torch.Generator) -> float:
    seed = int(torch.randint(2**31, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(parameter, parameter))


def _lay_over(
    images: Tensor, others: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, float]:
    """Lay one rectangle of the other images over these; returns the share that is left of these."""
    height, width = images.shape[-2:]
    cut = (1 - share) ** 0.5
    tall, wide = round(height * cut), round(width * cut)
    top = int(torch.randint(height - tall + 1, (1,), generator=generator))
    left = int(torch.randint(width - wide + 1, (1,), generator=generator))
    mixed = images.clone()
    mixed[..., top : top + tall, left : left + wide] = others[
        ..., top : top + tall, left : left + wide
    ]
    return mixed, 1 - tall * wide / (height * width)


# AdamW and its schedule.


_LEVEL_SHARE = 0.1


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Build AdamW; norms and biases do not decay: they set scale and offset, not complexity."""
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
            comes down to that before: averaged weights must keep moving.

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
