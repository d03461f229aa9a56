"""Calibration: does a probability of 0.7 mean seven of ten, and a temperature to correct it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import Statistic, divide

BIN_COUNT = 15
"""Ranges of equal width, as in Guo 2017."""

_LOWEST, _HIGHEST = 0.05, 20.0
_SMALLEST = 1e-12
_PRIOR_IMAGES = 5.0
"""Of 1, 5 and 20 the best or as good as it on the validation images of six networks."""

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationBin:
    """Images whose highest probability lies in one range.

    Attributes:
        low: Lower end of the range, 0 to 1.
        high: Upper end, included.
        images: Images in it.
        confidence: Mean of their highest probabilities; None without images.
        accuracy: Share of them for which that class is the true one; None without images.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class _CalibrationError:
    """Mean distance of confidence and accuracy over the bins, weighted by images (ECE).

    Attributes:
        gap: Right (1 or 0) minus confidence, (images,).
        member: Which bin an image is in, (images, bins), 0 or 1.
    """

    gap: _Array
    member: _Array

    def __call__(self, weights: _Array) -> _Array:
        distance = np.abs(weights @ (self.gap[:, None] * self.member))
        return divide(distance.sum(axis=1), weights.sum(axis=1))


@dataclass(frozen=True)
class _MeanLoss:
    """Mean of one loss an image, (images,)."""

    losses: _Array

    def __call__(self, weights: _Array) -> _Array:
        return divide(weights @ self.losses, weights.sum(axis=1))


def compute_probabilities(
    logits: NDArray[np.floating], *, temperature: float = 1.0, shifts: Sequence[float] = ()
) -> _Array:
    """Compute softmax(logits / temperature + shifts), (images, classes); rows sum to 1.

    Args:
        logits: (images, classes).
        temperature: Above 0.
        shifts: One a class, in log-odds; empty for none.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    if len(shifts):
        scaled = scaled + np.asarray(shifts, dtype=np.float64)
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: _Array = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """Find the temperature with the least cross-entropy on images whose class is known.

    The targets are not quite 0 and 1: a class seen in n images counts as (n + 1) / (n + classes),
    so that a few images, all of them right, do not make the network infinitely sure.

    Args:
        logits: Of validation images, (images, classes).
        truth: Their true classes, (images,).

    Returns:
        0.05 to 20; 1 where there is no image.

    References:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2, with the targets
        of Platt 1999, section 2.2.
    """
    from scipy import optimize, special  # noqa: PLC0415  slow to import, and not needed to predict

    if not len(truth):
        return 1.0
    exact = np.asarray(logits, dtype=np.float64)
    classes = exact.shape[1]
    smoothing = 1 / (np.bincount(truth, minlength=classes) + classes)
    targets = np.repeat(smoothing[truth][:, None], classes, axis=1)
    targets[np.arange(len(truth)), truth] = 1 - (classes - 1) * smoothing[truth]

    def loss(log_temperature: float) -> float:
        scaled = special.log_softmax(exact / np.exp(log_temperature), axis=1)
        return -float((targets * scaled).sum(axis=1).mean())

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def fit_calibration(
    logits: NDArray[np.floating], truth: NDArray[np.int64]
) -> tuple[float, tuple[float, ...]]:
    """Find a temperature and a shift for each class, together, on images whose class is known.

    A temperature alone cannot correct a network that was trained to weigh a rare class like a
    common one: it predicts that class too often, however confident it is. Both parameters are
    regularised, with the weight of five images, towards the temperature alone and no shifts.

    Args:
        logits: Of validation images, (images, classes).
        truth: Their true classes, (images,).

    Returns:
        The temperature, and the shifts, (classes,), in log-odds, mean 0; 1 and zeros where there is
        no image.

    References:
        Alexandari et al. 2020, "Maximum likelihood with bias-corrected calibration is hard-to-beat
        at label shift adaptation": bias-corrected temperature scaling.
    """
    from scipy import optimize, special  # noqa: PLC0415  slow to import, and not needed to predict

    exact = np.asarray(logits, dtype=np.float64)
    classes = exact.shape[1]
    if not len(truth):
        return 1.0, (0.0,) * classes
    alone, images = fit_temperature(exact, truth), np.arange(len(truth))

    def loss(numbers: _Array) -> float:
        warmer, shifts = numbers[0], numbers[1:]
        log_probabilities = special.log_softmax(exact / (alone * np.exp(warmer)) + shifts, axis=1)
        held = _PRIOR_IMAGES * (warmer**2 + (shifts**2).sum()) / len(truth)
        return float(held - log_probabilities[images, truth].mean())

    bounds = [(np.log(_LOWEST / alone), np.log(_HIGHEST / alone)), *[(None, None)] * classes]
    found = optimize.minimize(loss, np.zeros(1 + classes), method="L-BFGS-B", bounds=bounds).x
    shifts = found[1:] - found[1:].mean()
    return float(alone * np.exp(found[0])), tuple(shifts.tolist())


def compute_reliability_bins(
    probabilities: _Array, truth: NDArray[np.int64], *, bins: int = BIN_COUNT
) -> tuple[CalibrationBin, ...]:
    """Sort images into ranges of their highest probability.

    Args:
        probabilities: (images, classes).
        truth: (images,).
        bins: Ranges of equal width from 0 to 1.

    Returns:
        All of them, from low to high, empty ones too.
    """
    confidence, right, place = _place_in_bins(probabilities, truth, bins=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    found = []
    for index in range(bins):
        in_bin = place == index
        images = int(in_bin.sum())
        found.append(
            CalibrationBin(
                low=float(edges[index]),
                high=float(edges[index + 1]),
                images=images,
                confidence=float(confidence[in_bin].mean()) if images else None,
                accuracy=float(right[in_bin].mean()) if images else None,
            )
        )
    return tuple(found)


def build_calibration_statistics(
    probabilities: _Array, truth: NDArray[np.int64], *, bins: int = BIN_COUNT
) -> tuple[Statistic, Statistic, Statistic]:
    """Build "expected_calibration_error", "brier" and "negative_log_likelihood".

    Args:
        probabilities: (images, classes).
        truth: (images,).
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
    everyone, empty = (np.ones(len(truth), dtype=bool),), "There is no image."
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
    """Find confidence, rightness (0 or 1) and bin of each image, (images,) each."""
    confidence = probabilities.max(axis=1, initial=0.0)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    place = np.ceil(confidence * bins).astype(np.int64) - 1
    return confidence, right, np.clip(place, 0, bins - 1)


# The bias of the expected calibration error (ECE), measured instead of only warned of.
#
# The ECE takes absolute values of differences that are noisy in bins of few images. It is therefore
# above 0 for perfect probabilities too, and the fewer the images, the more.


@dataclass(frozen=True)
class CalibrationNoise:
    """The calibration error of perfect probabilities, on images and patients like these.

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
    resamples: int,
    generator: np.random.Generator,
    bins: int = BIN_COUNT,
) -> CalibrationNoise | None:
    """Draw whether each top prediction is right, with its own probability, and compute the error.

    Images of one patient are drawn together, so that they are right or wrong alike.

    Args:
        probabilities: (images, classes).
        groups: One label an image, (images,).
        resamples: How many truths.
        generator: Source of the draws.
        bins: Of the calibration error.

    Returns:
        None without images.

    References:
        Bröcker and Smith 2007, consistency resampling; here with patients.
    """
    if not len(probabilities):
        return None
    names, index = np.unique(groups, return_inverse=True)
    confidence = probabilities.max(axis=1)
    predicted = probabilities.argmax(axis=1)
    another = (predicted + 1) % probabilities.shape[1]
    weights = np.ones((1, len(confidence)))
    errors = []
    for _ in range(resamples):
        right = generator.random(len(names))[index] < confidence
        truth = np.where(right, predicted, another)
        error, *_ = build_calibration_statistics(probabilities, truth, bins=bins)
        errors.append(float(error.compute(weights)[0]))
    return CalibrationNoise(float(np.mean(errors)), float(np.quantile(errors, 0.95)))
