"""What the network is asked for: the right class, not too sure, rare classes not forgotten."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["blend_films", "compute_class_weights", "compute_loss", "soften_labels"]


def compute_class_weights(
    labels: NDArray[np.int64], *, class_count: int, kind: Literal["none", "root", "full"]
) -> Tensor:
    """Compute how much each class counts in the loss.

    Args:
        labels: Classes of the training films, (films,).
        class_count: Number of classes.
        kind: "none" is 1 for all; "full" is the inverse of the share of the class; "root" its
            square root, a middle way that costs less accuracy on the common classes.

    Returns:
        (class_count,), mean 1 over the training films; 0 for a class without films.
    """
    counts = np.bincount(labels, minlength=class_count).astype(np.float64)
    power = {"none": 0.0, "root": 0.5, "full": 1.0}[kind]
    weights = np.divide(1.0, counts**power, out=np.zeros_like(counts), where=counts > 0)
    weights *= counts.sum() / (weights * counts).sum()
    return torch.tensor(weights, dtype=torch.float32)


def soften_labels(labels: Tensor, *, class_count: int, smoothing: float) -> Tensor:
    """Turn classes into target probabilities, (batch, class_count).

    >>> soften_labels(torch.tensor([1]), class_count=2, smoothing=0.1)
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


def blend_films(
    images: Tensor, targets: Tensor, *, mixup: float, cutmix: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend each film of a batch with another one, and their targets alike.

    Args:
        images: (batch, 1, height, width).
        targets: (batch, classes).
        mixup: Parameter of the Beta distribution of the weight; 0 does not blend.
        cutmix: The same for the share of the film that is laid over; 0 does not.
        generator: Source of all chance, on the CPU.

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
    """Lay one rectangle of the other films over these; returns the share that is left of these."""
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
