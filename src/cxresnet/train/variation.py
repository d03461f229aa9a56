"""From a batch of films to what the network learns from: varied, scaled, blended."""

from __future__ import annotations

import torch
from torch import Tensor

from cxresnet.core.config import TrainConfig
from cxresnet.data.augment import apply_changes, sample_changes
from cxresnet.data.loaders import Batch, scale_films
from cxresnet.train.material import Material
from cxresnet.train.objective import blend_films, soften_labels

__all__ = ["vary_batch"]


def vary_batch(
    batch: Batch, *, material: Material, config: TrainConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Vary the films of a batch and soften their labels.

    Args:
        batch: On the device of the network.
        material: Gives the scale of the films and the number of classes.
        config: How far films may be changed and blended.
        generator: Source of all chance, on the CPU.

    Returns:
        Images, (batch, 1, height, width), and targets, (batch, classes), each row summing to 1.
    """
    changes = sample_changes(len(batch.labels), config.augment, generator=generator)
    images = apply_changes(scale_films(batch.films, material.preprocessing), changes)
    targets = soften_labels(
        batch.labels, class_count=len(material.class_names), smoothing=config.label_smoothing
    )
    return blend_films(
        images, targets, mixup=config.mixup, cutmix=config.cutmix, generator=generator
    )
