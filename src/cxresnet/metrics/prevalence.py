"""Predictive values at a given prevalence of the disease instead of that in the test images.

A positive result multiplies the odds of the disease by sensitivity / (1 - specificity), a negative
one by (1 - sensitivity) / specificity. Neither depends on how common the disease is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import CachedCompute, Compute, Statistic, divide


@dataclass(frozen=True)
class _Span:
    """A number from 0 to infinity and its interval; NaN where it is not known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LikelihoodRatios:
    """What a result does to the odds of the disease.

    Attributes:
        positive: Factor of a positive result, 1 and up for a useful test.
        negative: Factor of a negative result, 0 to 1 for a useful test.
    """

    positive: Estimate
    negative: Estimate


def compute_likelihood_ratios(sensitivity: Estimate, specificity: Estimate) -> LikelihoodRatios:
    """Compute both ratios; one that is infinite has a reason instead of a value.

    References:
        Zou and Donner 2008 (MOVER) on the log scale, for the interval of a ratio from the intervals
        of its parts: they rest on different patients.
    """
    positive, negative = _compute_ratios(sensitivity, specificity)
    infinite = "Infinite: no image of another class was predicted as it."
    return LikelihoodRatios(
        positive=_show(positive, sensitivity, specificity, undefined=infinite),
        negative=_show(
            negative,
            sensitivity,
            specificity,
            undefined="Infinite: every image was predicted as it.",
        ),
    )


def compute_predictive_values(
    sensitivity: Estimate, specificity: Estimate, *, prevalence: float
) -> tuple[Estimate, Estimate]:
    """Compute PPV and NPV where the class is so common.

    Args:
        sensitivity: Of the class, with its interval.
        specificity: Likewise.
        prevalence: Share of images that show the class there, above 0 and below 1.

    Returns:
        PPV and NPV, each with an interval as wide as those of its parts make it.
    """
    positive, negative = _compute_ratios(sensitivity, specificity)
    odds = prevalence / (1 - prevalence)
    ppv = _Span(
        *(_to_share(odds * ratio) for ratio in (positive.value, positive.low, positive.high))
    )
    ill = _Span(
        *(_to_share(odds * ratio) for ratio in (negative.value, negative.low, negative.high))
    )
    npv = _Span(1 - ill.value, 1 - ill.high, 1 - ill.low)
    return (
        _show(ppv, sensitivity, specificity, undefined="No image is predicted as it."),
        _show(npv, sensitivity, specificity, undefined="Every image is predicted as it."),
    )


def _compute_ratios(sensitivity: Estimate, specificity: Estimate) -> tuple[_Span, _Span]:
    true_positive_rate, false_negative_rate = _read(sensitivity), _read(sensitivity, turned=True)
    true_negative_rate, false_positive_rate = _read(specificity), _read(specificity, turned=True)
    return _divide(true_positive_rate, false_positive_rate), _divide(
        false_negative_rate, true_negative_rate
    )


def _read(estimate: Estimate, *, turned: bool = False) -> _Span:
    value, low, high = (
        math.nan if number is None else number
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return _Span(1 - value, 1 - high, 1 - low) if turned else _Span(value, low, high)


def _divide(above: _Span, below: _Span) -> _Span:
    """Divide two numbers with intervals; the outermost ends where one of them is 0."""
    if above.value == 0 or below.value == 0:
        return _Span(
            _over(above.value, below.value),
            _over(above.low, below.high),
            _over(above.high, below.low),
        )
    ratio = _over(above.value, below.value)
    down = math.hypot(math.log(above.value / above.low), math.log(below.high / below.value))
    up = math.hypot(math.log(above.high / above.value), math.log(below.value / below.low))
    return _Span(ratio, ratio * math.exp(-down), ratio * math.exp(up))


def _over(above: float, below: float) -> float:
    if below == 0:
        return math.inf if above > 0 else math.nan
    return above / below


def _to_share(odds: float) -> float:
    return 1.0 if math.isinf(odds) else odds / (1 + odds)


def _show(span: _Span, sensitivity: Estimate, specificity: Estimate, *, undefined: str) -> Estimate:
    value, low, high = (
        number if math.isfinite(number) else None for number in (span.value, span.low, span.high)
    )
    if sensitivity.value is None or specificity.value is None:
        undefined = sensitivity.reason or specificity.reason
    reason = ""
    if value is None:
        reason, low, high = undefined, None, None
    elif low is None or high is None:
        reason, low, high = "No interval: a part of it has none, or none that ends.", None, None
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=sensitivity.n + specificity.n,
        groups=min(sensitivity.groups, specificity.groups),
        reason=reason,
    )


# Net benefit: do the probabilities do more good than treating all or none?


_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """One column of a table of sums, divided by the number of images."""

    table: Compute
    column: int

    def __call__(self, weights: _Array) -> _Array:
        return divide(self.table(weights)[:, self.column], weights.sum(axis=1))


def build_net_benefit_statistics(
    evaluated: ClassifiedImages, class_index: int, *, thresholds: Sequence[float]
) -> tuple[Statistic, ...]:
    """Build the net benefit of acting on images whose probability reaches a threshold.

    It is the share of images acted on rightly, less the share acted on wrongly, weighed by the odds
    of the threshold: who acts from 10 % on takes nine false alarms for one image found.

    Args:
        evaluated: The images; their probabilities should be calibrated.
        class_index: The class that is acted on.
        thresholds: Above 0 and below 1.

    Returns:
        One a threshold, named ("net_benefit", CLASS, NUMBER), at most the share of the class.

    References:
        Vickers and Elkin 2006.
    """
    class_name = evaluated.class_names[class_index]
    positive = evaluated.truth == class_index
    limits = np.array(thresholds)
    predicted_positive = evaluated.probabilities[:, [class_index]] >= limits
    benefit = np.where(positive[:, None], 1.0, -limits / (1 - limits))
    gains = predicted_positive * benefit
    table = CachedCompute(lambda weights: weights @ gains)
    return tuple(
        Statistic(
            name=("net_benefit", class_name, number),
            compute=_Column(table, number),
            parts=(np.ones(len(positive), dtype=bool),),
            undefined="There is no image.",
            scale="real",
        )
        for number in range(len(limits))
    )


def compute_benefit_of_all(prevalence: float, threshold: float) -> float:
    """Compute the net benefit of acting on every image.

    >>> round(compute_benefit_of_all(0.2, 0.1), 4)
    0.1111
    """
    return prevalence - (1 - prevalence) * threshold / (1 - threshold)
