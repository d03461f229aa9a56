"""Whether a probability of 0.7 means seven of ten, and the few numbers that mend most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cxresnet.metrics.statistic import Statistic, divide

__all__ = [
    "BIN_COUNT",
    "ReliabilityBin",
    "build_calibration_statistics",
    "compute_probabilities",
    "compute_reliability_bins",
    "fit_calibration",
    "fit_temperature",
]

BIN_COUNT = 15
"""Ranges of equal width, as in Guo 2017."""

_LOWEST, _HIGHEST = 0.05, 20.0
_SMALLEST = 1e-12
_HOLDING_FILMS = 5.0
"""Of 1, 5 and 20 the best or as good as it on the validation films of six networks."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """Films whose highest probability lies above `low` and up to `high`.

    Attributes:
        low: 0 to 1.
        high: 0 to 1, included.
        films: How many.
        confidence: Mean of their highest probabilities; None without films.
        accuracy: Share of them for which that class is the true one; None without films.
    """

    low: float
    high: float
    films: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class _CalibrationError:
    """Mean distance of confidence and accuracy over the bins, weighted by films (ECE).

    Attributes:
        gap: Right (1 or 0) minus confidence, (films,).
        member: Which bin a film is in, (films, bins), 0 or 1.
    """

    gap: _Array
    member: _Array

    def __call__(self, weights: _Array) -> _Array:
        distance = np.abs(weights @ (self.gap[:, None] * self.member))
        return divide(distance.sum(axis=1), weights.sum(axis=1))


@dataclass(frozen=True)
class _MeanLoss:
    """Mean of one loss a film, (films,)."""

    losses: _Array

    def __call__(self, weights: _Array) -> _Array:
        return divide(weights @ self.losses, weights.sum(axis=1))


def compute_probabilities(
    logits: NDArray[np.floating], *, temperature: float = 1.0, shifts: Sequence[float] = ()
) -> _Array:
    """Compute softmax(logits / temperature + shifts), (films, classes); rows sum to 1.

    Args:
        logits: (films, classes).
        temperature: Above 0.
        shifts: One a class, in log-odds; empty for none.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if len(shifts):
        scaled = scaled + np.asarray(shifts, dtype=np.float64)
    probabilities: _Array = special.softmax(scaled, axis=1)
    return probabilities


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """Find the temperature with the least cross-entropy on films whose class is known.

    The targets are not quite 0 and 1: a class seen in n films counts as (n + 1) / (n + classes), so
    that a few films, all of them right, do not make the network infinitely sure.

    Args:
        logits: Of validation films, (films, classes).
        truth: Their true classes, (films,).

    Returns:
        0.05 to 20; 1 where there is no film.

    References:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, with the targets
        of Platt 1999, section 2.2.
    """
    if not len(truth):
        return 1.0
    exact = np.asarray(logits, dtype=np.float64)
    classes = exact.shape[1]
    doubt = 1 / (np.bincount(truth, minlength=classes) + classes)
    targets = np.repeat(doubt[truth][:, None], classes, axis=1)
    targets[np.arange(len(truth)), truth] = 1 - (classes - 1) * doubt[truth]

    def loss(log_temperature: float) -> float:
        scaled = special.log_softmax(exact / np.exp(log_temperature), axis=1)
        return -float((targets * scaled).sum(axis=1).mean())

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def fit_calibration(
    logits: NDArray[np.floating], truth: NDArray[np.int64]
) -> tuple[float, tuple[float, ...]]:
    """Find a temperature and a shift for each class, together, on films whose class is known.

    A temperature alone cannot mend a network that was taught to weigh a rare class like a common
    one: it says that class too often, however sure it is. Both are held, with the weight of five
    films, at what needs the fewest: the temperature alone, and no shifts.

    Args:
        logits: Of validation films, (films, classes).
        truth: Their true classes, (films,).

    Returns:
        The temperature, and the shifts, (classes,), in log-odds, mean 0; 1 and zeros where there is
        no film.

    References:
        Alexandari et al. 2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat
        at label shift adaptation": bias-corrected temperature scaling.
    """
    exact = np.asarray(logits, dtype=np.float64)
    classes = exact.shape[1]
    if not len(truth):
        return 1.0, (0.0,) * classes
    alone, films = fit_temperature(exact, truth), np.arange(len(truth))

    def loss(numbers: _Array) -> float:
        warmer, shifts = numbers[0], numbers[1:]
        said = special.log_softmax(exact / (alone * np.exp(warmer)) + shifts, axis=1)
        held = _HOLDING_FILMS * (warmer**2 + (shifts**2).sum()) / len(truth)
        return float(held - said[films, truth].mean())

    bounds = [(np.log(_LOWEST / alone), np.log(_HIGHEST / alone)), *[(None, None)] * classes]
    found = optimize.minimize(loss, np.zeros(1 + classes), method="L-BFGS-B", bounds=bounds).x
    shifts = found[1:] - found[1:].mean()
    return float(alone * np.exp(found[0])), tuple(shifts.tolist())


def compute_reliability_bins(
    probabilities: _Array, truth: NDArray[np.int64], *, bins: int = BIN_COUNT
) -> tuple[ReliabilityBin, ...]:
    """Sort films into ranges of their highest probability.

    Args:
        probabilities: (films, classes).
        truth: (films,).
        bins: Ranges of equal width from 0 to 1.

    Returns:
        All of them, from low to high, empty ones too.
    """
    confidence, right, place = _place_in_bins(probabilities, truth, bins=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    found = []
    for index in range(bins):
        inside = place == index
        films = int(inside.sum())
        found.append(
            ReliabilityBin(
                low=float(edges[index]),
                high=float(edges[index + 1]),
                films=films,
                confidence=float(confidence[inside].mean()) if films else None,
                accuracy=float(right[inside].mean()) if films else None,
            )
        )
    return tuple(found)


def build_calibration_statistics(
    probabilities: _Array, truth: NDArray[np.int64], *, bins: int = BIN_COUNT
) -> tuple[Statistic, Statistic, Statistic]:
    """Build "expected_calibration_error", "brier" and "negative_log_likelihood".

    Args:
        probabilities: (films, classes).
        truth: (films,).
        bins: Of the calibration error.

    References:
        Brier 1950, the sum over classes, 0 to 2. Guo 2017, equation 3, for the calibration error.
    """
    confidence, right, place = _place_in_bins(probabilities, truth, bins=bins)
    member = (place[:, None] == np.arange(bins)).astype(np.float64)
    wanted = (truth[:, None] == np.arange(probabilities.shape[1])).astype(np.float64)
    brier = ((probabilities - wanted) ** 2).sum(axis=1)
    given_to_truth = (probabilities * wanted).sum(axis=1)
    surprise = -np.log(np.maximum(given_to_truth, _SMALLEST))
    everyone, empty = (np.ones(len(truth), dtype=bool),), "There is no film."
    return (
        Statistic(
            name="expected_calibration_error",
            compute=_CalibrationError(right - confidence, member),
            parts=everyone,
            undefined=empty,
        ),
        Statistic(
            name="brier",
            compute=_MeanLoss(brier),
            parts=everyone,
            undefined=empty,
            scale="positive",
        ),
        Statistic(
            name="negative_log_likelihood",
            compute=_MeanLoss(surprise),
            parts=everyone,
            undefined=empty,
            scale="positive",
        ),
    )


def _place_in_bins(
    probabilities: _Array, truth: NDArray[np.int64], *, bins: int
) -> tuple[_Array, _Array, NDArray[np.int64]]:
    """Find confidence, rightness (0 or 1) and bin of each film, (films,) each."""
    confidence = probabilities.max(axis=1, initial=0.0)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    place = np.ceil(confidence * bins).astype(np.int64) - 1
    return confidence, right, np.clip(place, 0, bins - 1)
