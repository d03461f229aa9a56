"""Which films come up how often."""

from __future__ import annotations

from cxresnet.core.config import TrainConfig
from cxresnet.data.dataset import FilmSet
from cxresnet.data.loaders import EpochSampler, compute_sampling_weights

__all__ = ["build_sampler"]


def build_sampler(films: FilmSet, *, config: TrainConfig, rank: int, world: int) -> EpochSampler:
    """Build the order of training films for one process of several."""
    rows = films.manifest
    weights = None
    if config.sampling == "class":
        weights = compute_sampling_weights(list(rows["class_name"]))
    elif config.sampling == "class-and-source":
        weights = compute_sampling_weights(
            list(zip(rows["class_name"], rows["source"], strict=True))
        )
    return EpochSampler(
        len(films),
        batch_size=config.batch_size,
        seed=config.seed,
        weights=weights,
        rank=rank,
        world=world,
    )
