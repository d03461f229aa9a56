"""Whether a probability of 0.7 means seven of ten, before and after calibration."""

from __future__ import annotations

from cxresnet.evaluate.results import Record
from cxresnet.metrics.calibration_noise import CalibrationNoise
from cxresnet.metrics.estimate import Estimate

__all__ = ["Calibration", "CalibrationBin", "ClassCalibration"]


class CalibrationBin(Record):
    """Films whose highest probability lies in one range.

    Attributes:
        low: Lower end of the range, 0 to 1.
        high: Upper end, included.
        films: Films in it.
        confidence: Mean of their highest probabilities; None without films.
        accuracy: Share of them for which that class is the true one; None without films.
    """

    low: float
    high: float
    films: int
    confidence: float | None
    accuracy: float | None


class ClassCalibration(Record):
    """The calibration line of one class against the rest, after calibration.

    Attributes:
        class_name: The class.
        slope: 1 is perfect; below 1 the probabilities are too extreme.
        intercept: 0 is perfect; above 0 the class is said too rarely. With the slope held at 1.
    """

    class_name: str
    slope: Estimate
    intercept: Estimate


class Calibration(Record):
    """Whether 0.7 means seven of ten.

    "Before" means: on the network's own probabilities, not calibrated.

    Attributes:
        bins: After calibration.
        bins_before: Before it.
        expected_calibration_error: Mean distance of confidence and accuracy (ECE), 0 to 1. Above 0
            also for perfect probabilities, see `noise`.
        expected_calibration_error_before: The same before.
        noise: What it would be if the probabilities were perfect; None without films.
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
