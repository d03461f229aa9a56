"""What a calibration error would be if nothing were wrong: its bias, measured instead of warned of.

The expected calibration error (ECE) takes absolute values of differences that are noisy in bins of
few films, so that it is above 0 for perfect probabilities too, and the more the fewer the films.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.calibration import BIN_COUNT, build_calibration_statistics

__all__ = ["CalibrationNoise", "compute_calibration_noise"]


@dataclass(frozen=True)
class CalibrationNoise:
    """The calibration error of perfect probabilities, on films and patients like these.

    Attributes:
        mean: Over drawn truths, 0 to 1.
        high: Nineteen of twenty drawn truths stay below it, 0 to 1.
    """

    mean: float
    high: float


def compute_calibration_noise(
    probabilities: NDArray[np.float64],
    groups: NDArray[np.str_],
    *,
    draws: int,
    generator: np.random.Generator,
    bins: int = BIN_COUNT,
) -> CalibrationNoise | None:
    """Draw whether each highest probability was right, as often as it says, and compute the error.

    Films of one patient are drawn together, so that they are right or wrong alike.

    Args:
        probabilities: (films, classes).
        groups: One label a film, (films,).
        draws: How many truths.
        generator: Source of the draws.
        bins: Of the calibration error.

    Returns:
        None without films.

    References:
        Bröcker and Smith 2007, consistency resampling; here with patients.
    """
    if not len(probabilities):
        return None
    names, index = np.unique(groups, return_inverse=True)
    confidence = probabilities.max(axis=1)
    called = probabilities.argmax(axis=1)
    another = (called + 1) % probabilities.shape[1]
    weights = np.ones((1, len(confidence)))
    errors = []
    for _ in range(draws):
        right = generator.random(len(names))[index] < confidence
        truth = np.where(right, called, another)
        error, *_ = build_calibration_statistics(probabilities, truth, bins=bins)
        errors.append(float(error.compute(weights)[0]))
    return CalibrationNoise(float(np.mean(errors)), float(np.quantile(errors, 0.95)))
