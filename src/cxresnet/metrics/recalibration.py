"""Calibration slope and intercept by logistic regression.

The log-odds of "shows the class" are regressed on the predicted log-odds. A slope of 1 and an
intercept of 0 are perfect; a slope below 1 means that the probabilities are too extreme, an
intercept above 0 that the class is predicted too rarely.

References:
    Cox 1958; Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics",
    which calls them the weak calibration; the intercept is the one with the slope fixed at 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.statistic import Key, Statistic

_SMALLEST = 1e-9
_MAX_STEPS = 100
_MAX_SLOPE = 50.0
"""A slope above it is a perfect separation that has not been noticed as one."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """Logistic regression by weighted images, one Newton step away from the fit to all of them.

    At equal weights the step is 0, so that the number itself is the full fit; for images drawn
    again one step has the same spread to first order, without fitting thousands of times.

    Attributes:
        fitted: (parameters,).
        gradient: Derivative of the likelihood by parameter, (images, parameters).
        hessian: Second derivative, (images, parameters²).
        parameter_index: Which parameter is given.
    """

    fitted: _Array
    gradient: _Array
    hessian: _Array
    parameter_index: int

    def __call__(self, weights: _Array) -> _Array:
        count = len(self.fitted)
        gradient = weights @ self.gradient
        hessian = (weights @ self.hessian).reshape(-1, count, count)
        solvable = np.linalg.cond(hessian) < 1 / _SMALLEST
        step = np.full_like(gradient, np.nan)
        if solvable.any():
            step[solvable] = np.linalg.solve(hessian[solvable], gradient[solvable][..., None])[
                ..., 0
            ]
        number: _Array = self.fitted[self.parameter_index] + step[:, self.parameter_index]
        return number


@dataclass(frozen=True)
class _Undefined:
    """A number that does not exist."""

    def __call__(self, weights: _Array) -> _Array:
        return np.full(len(weights), np.nan)


def build_recalibration_statistics(
    evaluated: ClassifiedImages, class_index: int
) -> tuple[Statistic, Statistic]:
    """Build slope and intercept of one class against the rest.

    Their names are ("calibration_slope", CLASS) and ("calibration_intercept", CLASS).

    Neither is defined where the probabilities separate the class perfectly: the slope is then
    infinite, and nothing is known of the probabilities in between.
    """
    class_name = evaluated.class_names[class_index]
    positive = evaluated.truth == class_index
    probability = np.clip(evaluated.probabilities[:, class_index], _SMALLEST, 1 - _SMALLEST)
    predicted_log_odds = special.logit(probability)
    undefined = f"The probabilities tell {class_name} from the rest without a mistake."
    if not positive.any() or positive.all():
        undefined = f"No image shows {class_name}, or every image does."
    return (
        _build(
            ("calibration_slope", class_name),
            positive,
            predicted_log_odds,
            slope=True,
            undefined=undefined,
        ),
        _build(
            ("calibration_intercept", class_name),
            positive,
            predicted_log_odds,
            slope=False,
            undefined=undefined,
        ),
    )


def _build(
    name: Key,
    positive: NDArray[np.bool_],
    predicted_log_odds: _Array,
    *,
    slope: bool,
    undefined: str,
) -> Statistic:
    inputs = (
        np.stack([np.ones(len(predicted_log_odds)), predicted_log_odds], axis=1)
        if slope
        else np.ones((len(predicted_log_odds), 1))
    )
    offset = np.zeros(len(predicted_log_odds)) if slope else predicted_log_odds
    fitted = None if _is_separated(positive, predicted_log_odds) else _fit(inputs, positive, offset)
    compute: _Line | _Undefined = _Undefined()
    if fitted is not None:
        probability = special.expit(inputs @ fitted + offset)
        spread = probability * (1 - probability)
        products = inputs[:, :, None] * inputs[:, None, :]
        compute = _Line(
            fitted=fitted,
            gradient=inputs * (positive - probability)[:, None],
            hessian=spread[:, None] * products.reshape(len(predicted_log_odds), -1),
            parameter_index=int(slope),
        )
    parts = (positive, ~positive)
    return Statistic(name=name, compute=compute, parts=parts, undefined=undefined, scale="real")


def _is_separated(positive: NDArray[np.bool_], predicted_log_odds: _Array) -> bool:
    """Whether one threshold separates the class without a mistake, in either direction."""
    if not positive.any() or positive.all():
        return True
    own, others = predicted_log_odds[positive], predicted_log_odds[~positive]
    return bool(own.min() >= others.max() or own.max() <= others.min())


def _fit(inputs: _Array, positive: NDArray[np.bool_], offset: _Array) -> _Array | None:
    """Fit by Newton's method with halved steps; None where the likelihood has no top."""
    found = np.zeros(inputs.shape[1])
    best = _compute_likelihood(positive, offset + inputs @ found)
    for _ in range(_MAX_STEPS):
        probability = special.expit(inputs @ found + offset)
        hessian = (inputs * (probability * (1 - probability))[:, None]).T @ inputs
        if np.linalg.cond(hessian) > 1 / _SMALLEST:
            return None
        step = np.linalg.solve(hessian, inputs.T @ (positive - probability))
        while True:
            value = _compute_likelihood(positive, offset + inputs @ (found + step))
            if value >= best - _SMALLEST * abs(best):
                break
            step = step / 2
        found, best = found + step, value
        if np.abs(step).max() < 1e-10:
            return found if np.abs(found).max() < _MAX_SLOPE else None
    return None


def _compute_likelihood(positive: NDArray[np.bool_], odds: _Array) -> float:
    return float(np.sum(special.log_expit(np.where(positive, odds, -odds))))
