"""What trainings that differ in seed or fold have in common: another seed, and scores."""

from __future__ import annotations

from cxresnet.core.config import Config
from cxresnet.metrics.classification import Judged, build_headline_statistics
from cxresnet.metrics.pairs import build_pair_statistics
from cxresnet.metrics.spread import Scores
from cxresnet.metrics.statistic import Statistic, compute_value
from cxresnet.predict.predictions import Predictions

__all__ = ["build_statistics", "compute_scores", "reseed"]


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
