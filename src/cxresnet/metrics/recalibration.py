"""Calibration as a line: what a probability would have to be multiplied with and shifted by.

The log-odds of "shows the class" are regressed on the log-odds that were said. A slope of 1 and an
intercept of 0 are perfect; a slope below 1 says that the probabilities are too extreme, an
intercept above 0 that the class is said too rarely.

References:
    Cox 1958; Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics",
    which calls them the weak calibration; the intercept is the one with the slope fixed at 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cxresnet.metrics.classification import Judged
from cxresnet.metrics.statistic import Statistic

__all__ = ["build_recalibration_statistics"]

_SMALLEST = 1e-9
_MOST_STEPS = 100
_STEEPEST = 50.0
"""A slope above it is a perfect separation that has not been noticed as one."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Line:
    """Logistic regression by weighted films, one Newton step away from the fit to all of them.

    At equal weights the step is 0, so that the number itself is the full fit; for films drawn
    again one step has the same spread to first order, without fitting thousands of times.

    Attributes:
        fitted: (parameters,).
        gain: Derivative of the likelihood by parameter, (films, parameters).
        curve: Second derivative, (films, parameters²).
        wanted: Which parameter is given.
    """

    fitted: _Array
    gain: _Array
    curve: _Array
    wanted: int

    def __call__(self, weights: _Array) -> _Array:
        count = len(self.fitted)
        gain = weights @ self.gain
        curve = (weights @ self.curve).reshape(-1, count, count)
        solvable = np.linalg.cond(curve) < 1 / _SMALLEST
        step = np.full_like(gain, np.nan)
        if solvable.any():
            step[solvable] = np.linalg.solve(curve[solvable], gain[solvable][..., None])[..., 0]
        number: _Array = self.fitted[self.wanted] + step[:, self.wanted]
        return number


@dataclass(frozen=True)
class _Unknown:
    """A number that does not exist."""

    def __call__(self, weights: _Array) -> _Array:
        return np.full(len(weights), np.nan)


def build_recalibration_statistics(judged: Judged, class_index: int) -> tuple[Statistic, Statistic]:
    """Build "calibration_slope/CLASS" and "calibration_intercept/CLASS", class against rest.

    Neither is defined where the probabilities separate the class perfectly: the slope is then
    infinite, and nothing is known of the probabilities in between.
    """
    class_name = judged.class_names[class_index]
    shown = judged.truth == class_index
    chance = np.clip(judged.probabilities[:, class_index], _SMALLEST, 1 - _SMALLEST)
    said = special.logit(chance)
    undefined = f"The probabilities tell {class_name} from the rest without a mistake."
    if not shown.any() or shown.all():
        undefined = f"No film shows {class_name}, or every film does."
    return (
        _build(f"calibration_slope/{class_name}", shown, said, slope=True, undefined=undefined),
        _build(
            f"calibration_intercept/{class_name}", shown, said, slope=False, undefined=undefined
        ),
    )


def _build(
    name: str, shown: NDArray[np.bool_], said: _Array, *, slope: bool, undefined: str
) -> Statistic:
    inputs = np.stack([np.ones(len(said)), said], axis=1) if slope else np.ones((len(said), 1))
    offset = np.zeros(len(said)) if slope else said
    fitted = None if _is_separated(shown, said) else _fit(inputs, shown, offset)
    compute: _Line | _Unknown = _Unknown()
    if fitted is not None:
        chance = special.expit(inputs @ fitted + offset)
        spread = chance * (1 - chance)
        products = inputs[:, :, None] * inputs[:, None, :]
        compute = _Line(
            fitted=fitted,
            gain=inputs * (shown - chance)[:, None],
            curve=spread[:, None] * products.reshape(len(said), -1),
            wanted=int(slope),
        )
    parts = (shown, ~shown)
    return Statistic(name=name, compute=compute, parts=parts, undefined=undefined, scale="real")


def _is_separated(shown: NDArray[np.bool_], said: _Array) -> bool:
    """Whether one threshold tells the class without a mistake, in either direction."""
    if not shown.any() or shown.all():
        return True
    own, others = said[shown], said[~shown]
    return bool(own.min() >= others.max() or own.max() <= others.min())


def _fit(inputs: _Array, shown: NDArray[np.bool_], offset: _Array) -> _Array | None:
    """Fit by Newton's method with halved steps; None where the likelihood has no top."""
    found = np.zeros(inputs.shape[1])
    best = _compute_likelihood(shown, offset + inputs @ found)
    for _ in range(_MOST_STEPS):
        chance = special.expit(inputs @ found + offset)
        curve = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        if np.linalg.cond(curve) > 1 / _SMALLEST:
            return None
        step = np.linalg.solve(curve, inputs.T @ (shown - chance))
        value = _compute_likelihood(shown, offset + inputs @ (found + step))
        while value < best - _SMALLEST * abs(best):
            step = step / 2
            value = _compute_likelihood(shown, offset + inputs @ (found + step))
        found, best = found + step, value
        if np.abs(step).max() < 1e-10:
            return found if np.abs(found).max() < _STEEPEST else None
    return None


def _compute_likelihood(shown: NDArray[np.bool_], odds: _Array) -> float:
    return float(np.sum(special.log_expit(np.where(shown, odds, -odds))))
