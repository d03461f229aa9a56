"""What is settled on validation films, before the sealed test is opened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.data.dataset import PreparedDataset
from cxresnet.evaluate.operating_point import choose_operating_point, judge
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.evaluate.results import Headline
from cxresnet.evaluate.scores import build_headline, estimate
from cxresnet.evaluate.thresholds import ChosenThreshold, choose_thresholds
from cxresnet.metrics.classification import build_headline_statistics
from cxresnet.predict.predictions import Predictions

__all__ = ["Settled", "choose_point", "settle"]


@dataclass(frozen=True)
class Settled:
    """Choices, and what they give on the films that made them.

    Attributes:
        point: How probabilities become a class.
        thresholds: One class against the rest, by class and aim.
        headline: Of the validation films: too good by nature, and so a ceiling for the test.
    """

    point: OperatingPoint
    thresholds: tuple[ChosenThreshold, ...]
    headline: Headline


def choose_point(
    validation: Predictions, home: PreparedDataset, *, config: EvaluateConfig
) -> OperatingPoint:
    """Choose how the probabilities of a network become a class.

    Args:
        validation: Of the network.
        home: The dataset that it was trained on; its test stays sealed.
        config: Has the rule.
    """
    labels = home.select("train").labels
    return choose_operating_point(
        validation,
        class_shares=np.bincount(labels, minlength=len(home.class_names)) / len(labels),
        rule=config.operating_point,
        seed=config.seed,
    )


def settle(validation: Predictions, *, home: PreparedDataset, config: EvaluateConfig) -> Settled:
    """Settle everything that is chosen.

    Args:
        validation: Of the network.
        home: The dataset that it was trained on; its test stays sealed.
        config: What to choose, and by which rule.
    """
    point = choose_point(validation, home, config=config)
    known = validation.select(validation.truth >= 0)
    judged = judge(known, point)
    estimates = estimate(
        build_headline_statistics(judged),
        group_ids=known.group_ids,
        strata=judged.truth,
        config=config,
    )
    return Settled(
        point=point,
        thresholds=choose_thresholds(known, point=point, config=config),
        headline=build_headline(estimates),
    )
