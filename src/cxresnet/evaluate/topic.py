"""The shape that all topics of an evaluation have, and what they are given.

A topic (calibration, thresholds, slices, red flags …) lists the statistics that it needs from the
bootstrap, and builds its fields of the `Evaluation` from the estimates. All topics share the same
resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.finding import Finding
from cxresnet.core.seeding import build_generator
from cxresnet.evaluate.results import AccessLogEntry, ChosenThreshold, GeneralisationGap, Headline
from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Key, Statistic
from cxresnet.predict.decision import OperatingPoint, apply_operating_point
from cxresnet.predict.predictions import Predictions
from cxresnet.shortcuts.baseline import BaselinePredictions

Estimates = Mapping[Key, Estimate]
"""From the key of a statistic to its estimate."""


@dataclass(frozen=True, kw_only=True)
class Background:
    """What is known beside the predictions.

    Attributes:
        name: Name of the evaluated images, for titles.
        facts: Rows of the manifest in the order of the predictions, for the slices; None where
            only the sources are known.
        baselines: Predictions of the shortcut baselines for the same images.
        dataset: Name of the dataset.
        dataset_hash: Of the evaluated images.
        trained_on: Hash of the dataset that the network was trained on.
        checkpoint: SHA-256 of the network's weights.
        test_time_augmentation: Views of each image that were averaged.
        accesses: How often the held-out test set was opened for scores; None without one.
        notes: Sentences for the reader.
        data_verdict: Verdict on the training data, one sentence; "" if they were not audited.
        findings: Of the audit of the training data.
        thresholds: As chosen on validation images.
        validation: The headline of the validation images.
        leaked_images: Test images with a near-duplicate or their patient outside of the test set.
        source_generalisation_gap: Generalisation gap of networks to a source left out of training.
        access_log: Every access to the held-out test set.
    """

    name: str = "predictions"
    facts: pd.DataFrame | None = None
    baselines: tuple[BaselinePredictions, ...] = ()
    dataset: str = ""
    dataset_hash: str = ""
    trained_on: str = ""
    checkpoint: str = ""
    test_time_augmentation: int = 1
    accesses: int | None = None
    notes: tuple[str, ...] = ()
    data_verdict: str = ""
    findings: tuple[Finding, ...] = ()
    thresholds: tuple[ChosenThreshold, ...] = ()
    validation: Headline | None = None
    leaked_images: int = 0
    source_generalisation_gap: GeneralisationGap | None = None
    access_log: tuple[AccessLogEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """What every topic is given.

    Attributes:
        images: Predictions for images of a known class.
        point: Calibration and decision rule, chosen on other images.
        background: What else is known of the same images.
        config: Of the intervals, and which numbers are wanted.
    """

    images: Predictions
    point: OperatingPoint
    background: Background
    config: EvaluateConfig

    @cached_property
    def evaluated(self) -> ClassifiedImages:
        """The images with calibrated probabilities and decided classes."""
        return apply_operating_point(self.images, self.point)

    @property
    def group_ids(self) -> tuple[str, ...]:
        """Patient with duplicates, one an image."""
        return self.images.group_ids

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return self.images.class_names

    @cached_property
    def facts(self) -> pd.DataFrame:
        """Rows of the manifest; where there are none, the sources alone."""
        if self.background.facts is not None:
            return self.background.facts
        return pd.DataFrame({"source": self.images.sources}).assign(
            view="", sex="", age_years="", file_width=0, file_height=0
        )


@dataclass(frozen=True)
class Topic:
    """One topic of an evaluation.

    Attributes:
        list_statistics: The statistics that it needs from the bootstrap.
        build_records: Its fields of the `Evaluation`, from the estimates of all topics.
    """

    list_statistics: Callable[[EvaluationInputs], Sequence[Statistic]]
    build_records: Callable[[EvaluationInputs, Estimates], Mapping[str, Any]]


def estimate(
    statistics: Sequence[Statistic],
    *,
    group_ids: Sequence[str],
    config: EvaluateConfig,
    strata: NDArray[np.int64] | None = None,
) -> dict[Key, Estimate]:
    """Estimate statistics with the intervals of a config, by key.

    Args:
        statistics: The numbers.
        group_ids: Patient with duplicates, one an image.
        config: Of the intervals.
        strata: The class of each image, (images,): patients are resampled within their class.
    """
    return compute_estimates(
        statistics,
        groups=group_ids,
        strata=strata,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence_level,
        generator=build_generator(config.seed, "bootstrap"),
    )


def add_prefix(prefix: Key, key: Key) -> Key:
    """Put a prefix before a key, so that statistics of several models can be estimated together.

    >>> add_prefix("before", "brier"), add_prefix(("baseline", "border"), ("f1", "covid-19"))
    (('before', 'brier'), ('baseline', 'border', 'f1', 'covid-19'))
    """
    parts = [(one,) if isinstance(one, str) else one for one in (prefix, key)]
    return (*parts[0], *parts[1])


def prefix_statistics(prefix: Key, statistics: Sequence[Statistic]) -> tuple[Statistic, ...]:
    """Put a prefix before the key of each statistic."""
    return tuple(replace(one, name=add_prefix(prefix, one.name)) for one in statistics)


@dataclass(frozen=True)
class Difference:
    """One statistic minus another, on the same resamples.

    Attributes:
        ours: The network's.
        theirs: The baseline's.
    """

    ours: Statistic
    theirs: Statistic

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the difference in each resample, (resamples,), -1 to 1."""
        return self.ours.compute(weights) - self.theirs.compute(weights)


def build_difference(name: Key, *, ours: Statistic, theirs: Statistic) -> Statistic:
    """Build the difference of two statistics of the same images."""
    return Statistic(
        name=name,
        compute=Difference(ours, theirs),
        parts=ours.parts + theirs.parts,
        undefined=ours.undefined,
        scale="difference",
    )
