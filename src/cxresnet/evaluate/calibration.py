"""Topic: whether a probability of 0.7 means seven of ten, before and after calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxresnet.core.record import Record
from cxresnet.core.seeding import build_generator
from cxresnet.evaluate.topic import Estimates, EvaluationInputs, Topic, prefix_statistics
from cxresnet.metrics.calibration import (
    CalibrationBin,
    CalibrationNoise,
    build_calibration_statistics,
    compute_calibration_noise,
    compute_reliability_bins,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.recalibration import build_recalibration_statistics
from cxresnet.metrics.statistic import Statistic

_SCORES = ("expected_calibration_error", "brier", "negative_log_likelihood")
_NOISE_RESAMPLES = 200


class ClassCalibration(Record):
    """The calibration line of one class against the rest, after calibration.

    Attributes:
        class_name: The class.
        slope: 1 is perfect; below 1 the probabilities are too extreme.
        intercept: 0 is perfect; above 0 the class is predicted too rarely. At a slope of 1.
    """

    class_name: str
    slope: Estimate
    intercept: Estimate


class Calibration(Record):
    """Whether a probability of 0.7 means seven of ten.

    "Before" means: for the raw probabilities of the network, before calibration.

    Attributes:
        bins: After calibration.
        bins_before: Before it.
        expected_calibration_error: Mean distance of confidence and accuracy (ECE), 0 to 1. Above 0
            also for perfect probabilities, see `noise`.
        expected_calibration_error_before: The same before.
        noise: The ECE that perfect probabilities would have; None without images.
        brier: Mean squared distance of probabilities and truth, summed over classes, 0 to 2.
        brier_before: The same before.
        negative_log_likelihood: Mean, in nats; also called log loss.
        negative_log_likelihood_before: The same before.
        by_class: One a class, in order.
    """

    bins: tuple[CalibrationBin, ...]
    bins_before: tuple[CalibrationBin, ...]
    expected_calibration_error: Estimate
    expected_calibration_error_before: Estimate
    noise: CalibrationNoise | None
    brier: Estimate
    brier_before: Estimate
    negative_log_likelihood: Estimate
    negative_log_likelihood_before: Estimate
    by_class: tuple[ClassCalibration, ...]


def list_statistics(inputs: EvaluationInputs) -> tuple[Statistic, ...]:
    """List calibration scores before and after, and slope and intercept of each class."""
    evaluated = inputs.evaluated
    before = build_calibration_statistics(inputs.images.probabilities, evaluated.truth)
    return (
        *(
            statistic
            for index in range(len(evaluated.class_names))
            for statistic in build_recalibration_statistics(evaluated, index)
        ),
        *build_calibration_statistics(evaluated.probabilities, evaluated.truth),
        *prefix_statistics("before", before),
    )


def build_records(inputs: EvaluationInputs, estimates: Estimates) -> dict[str, Any]:
    """Build the record of calibration."""
    evaluated = inputs.evaluated
    scores = {name: estimates[name] for name in _SCORES}
    scores |= {f"{name}_before": estimates["before", name] for name in _SCORES}
    calibration = Calibration(
        bins=compute_reliability_bins(evaluated.probabilities, evaluated.truth),
        bins_before=compute_reliability_bins(inputs.images.probabilities, evaluated.truth),
        noise=compute_calibration_noise(
            evaluated.probabilities,
            np.array(inputs.group_ids),
            resamples=_NOISE_RESAMPLES,
            generator=build_generator(inputs.config.seed, "calibration noise"),
        ),
        by_class=tuple(
            ClassCalibration(
                class_name=name,
                slope=estimates["calibration_slope", name],
                intercept=estimates["calibration_intercept", name],
            )
            for name in evaluated.class_names
        ),
        **scores,
    )
    return {"calibration": calibration}


TOPIC = Topic(list_statistics, build_records)
