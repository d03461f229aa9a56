"""Mean and spread of scores over trainings that differ in seed or fold: how much is luck?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxresnet.core.config import Config
from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.pairs import build_pair_statistics
from cxresnet.metrics.statistic import Statistic, compute_value
from cxresnet.predict.predictions import Predictions

__all__ = ["Scores", "Spread", "build_statistics", "compute_scores", "compute_spread", "reseed"]

Scores = Mapping[str, float | None]
"""From the name of a score to its value; None where it is not defined."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over `n` trainings; sd is None for a single one."""

    mean: float
    sd: float | None
    n: int


def reseed(config: Config, seed: int) -> Config:
    """Give the same config with another seed of the training."""
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


def build_statistics(table: Predictions) -> tuple[Statistic, ...]:
    """Build the headline numbers of a table, and for three classes and more those of its pairs."""
    judged = Judged(
        class_names=table.class_names,
        truth=table.truth,
        predicted=table.logits.argmax(axis=1),
        probabilities=table.probabilities,
    )
    pairs = build_pair_statistics(judged) if len(table.class_names) > 2 else ()
    return (*build_headline_statistics(judged), *pairs)


def compute_scores(table: Predictions) -> Scores:
    """Compute the numbers of `build_statistics`."""
    return {one.name: compute_value(one) for one in build_statistics(table)}


def compute_spread(trainings: Sequence[Scores]) -> dict[str, Spread]:
    """Compute mean and spread of each score that is defined in every training.

    >>> compute_spread([{"accuracy": 0.8}, {"accuracy": 0.9}])["accuracy"].mean
    0.85
    """
    spread = {}
    for name in trainings[0]:
        values = [value for one in trainings if (value := one[name]) is not None]
        if len(values) == len(trainings):
            sd = statistics.stdev(values) if len(values) > 1 else None
            spread[name] = Spread(round(statistics.fmean(values), 12), sd, len(values))
    return spread
