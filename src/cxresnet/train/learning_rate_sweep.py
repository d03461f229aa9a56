"""Learning rate sweep: raise it step by step from very low to far too high, and watch the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxresnet.core.config import Config
from cxresnet.core.errors import ConfigError
from cxresnet.core.files import write_text
from cxresnet.core.progress import track
from cxresnet.core.seeding import derive_seed
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.model.presets import build_model
from cxresnet.train.engine import reproducible
from cxresnet.train.inputs import TrainingInputs, gather_training_inputs
from cxresnet.train.loaders import Batch, build_loader, build_sampler
from cxresnet.train.module import augment_batch
from cxresnet.train.objective import build_optimizer, compute_class_weights, compute_loss

_SMOOTHING = 0.9
_MIN_LOSS_DROP = 0.02
_DIVERGENCE_FACTOR = 4.0
"""Times the lowest loss: the sweep ends there."""


@dataclass(frozen=True)
class LearningRateCurve:
    """How the loss ran while the learning rate rose.

    Attributes:
        rates: Rising.
        losses: Smoothed training loss at each.
        suggestion: In the middle of the fall: a peak to begin with, not the best one. None where
            the loss hardly fell.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None


def find_learning_rate(
    dataset: PreparedDataset,
    *,
    config: Config,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 100,
) -> LearningRateCurve:
    """Sweep the learning rate over training images, on the CPU; nothing is kept or written.

    Args:
        dataset: Only its training split is used.
        config: Network, batches and augmentation are those of the training to come.
        lowest: First rate.
        highest: Last rate, unless the loss explodes before.
        steps: Batches in all, at least 10.

    Raises:
        ConfigError: The range or the number of steps leave nothing to sweep.

    References:
        Smith 2017, section 3.3. Smoothing and longest fall are ideas of fastai, reimplemented.
    """
    if not 0 < lowest < highest or steps < 10:
        raise ConfigError(
            "The sweep needs 0 < lowest < highest and at least 10 steps; "
            f"got {lowest}, {highest} and {steps}."
        )
    inputs = gather_training_inputs(dataset)
    rates = np.geomspace(lowest, highest, steps).tolist()
    with reproducible(derive_seed(config.train.seed, "weights")):
        losses = list(_sweep(inputs, config=config, rates=rates))
    rates = rates[: len(losses)]
    return LearningRateCurve(
        rates=tuple(rates),
        losses=tuple(losses),
        suggestion=choose_learning_rate(rates, losses),
    )


def write_learning_rates(path: Path, curve: LearningRateCurve) -> Path:
    """Write the curve as a table, whole or not at all; the chosen rate is marked. Returns the path.

    Raises:
        StorageError: The file cannot be written.
    """
    lines = ["learning_rate,train_loss,chosen"]
    lines += [
        f"{rate:.6g},{loss:.6g},{int(rate == curve.suggestion)}"
        for rate, loss in zip(curve.rates, curve.losses, strict=True)
    ]
    return write_text(path, "\n".join(lines) + "\n")


def choose_learning_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Choose the rate in the middle of the longest fall of the loss.

    The steepest single step is often noise; a fall over many rates is not.

    Returns:
        The rate; None where the loss fell by less than 2 % in all.
    """
    start, end = _find_longest_fall(losses)
    if losses[start] - losses[end] < _MIN_LOSS_DROP * losses[start]:
        return None
    return rates[(start + end) // 2]


def _find_longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """Find first and last place of the longest sequence of ever lower losses, gaps allowed."""
    lengths, starts = [1] * len(losses), list(range(len(losses)))
    for place, loss in enumerate(losses):
        for before in range(place):
            if losses[before] > loss and lengths[before] >= lengths[place]:
                lengths[place], starts[place] = lengths[before] + 1, starts[before]
    end = int(np.argmax(lengths))
    return starts[end], end


def _sweep(inputs: TrainingInputs, *, config: Config, rates: list[float]) -> Iterator[float]:
    """Yield the smoothed loss at each rate; end early when it explodes."""
    settings = config.train
    network = build_model(config.model, class_count=len(inputs.class_names)).train()
    optimizer = build_optimizer(network, settings)
    weights = compute_class_weights(
        inputs.train.labels,
        class_count=len(inputs.class_names),
        kind=settings.class_weights,
    )
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "sweep"))
    mean, lowest = 0.0, math.inf
    batches = _draw_batches(inputs, config=config, count=len(rates))
    for number, (rate, batch) in enumerate(zip(track(rates, "Sweeping"), batches, strict=False)):
        images, targets = augment_batch(batch, inputs=inputs, config=settings, generator=generator)
        loss = compute_loss(network(images), targets, weights)
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * float(loss.detach())
        smoothed = mean / (1 - _SMOOTHING ** (number + 1))
        lowest = min(lowest, smoothed)
        if not math.isfinite(smoothed) or smoothed > _DIVERGENCE_FACTOR * lowest:
            return
        yield smoothed
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def _draw_batches(inputs: TrainingInputs, *, config: Config, count: int) -> Iterator[Batch]:
    """Draw so many batches, over as many epochs as that takes."""
    sampler = build_sampler(inputs.train, config=config.train, rank=0, world=1)
    loader = build_loader(inputs.train, sampler=sampler)
    for epoch in range(math.ceil(count / len(sampler))):
        sampler.set_epoch(epoch)
        yield from loader
