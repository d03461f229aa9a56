"""What would be left of the mistakes, if the network answered only where it is sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.statistic import Statistic, divide

__all__ = ["RiskCoveragePoints", "build_risk_coverage_statistic", "compute_risk_coverage_points"]

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class _MeanRisk:
    """Area under the risk-coverage curve.

    Attributes:
        confidence: Higher is surer, (films,).
        wrong: Whether the answer is wrong, (films,).
    """

    confidence: _Array
    wrong: NDArray[np.bool_]

    def sum_by_step(self, weights: _Array) -> tuple[_Array, _Array]:
        """Sum films and mistakes from the surest down; films as sure as each other are one step.

        Args:
            weights: (resamples, films).

        Returns:
            Films and mistakes of each step, (resamples, steps) each.
        """
        order = np.argsort(-self.confidence, kind="stable")
        ordered = self.confidence[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        films = np.add.reduceat(weights[:, order], starts, axis=1)
        mistakes = np.add.reduceat(weights[:, order] * self.wrong[order], starts, axis=1)
        return films, mistakes

    def __call__(self, weights: _Array) -> _Array:
        films, mistakes = self.sum_by_step(weights)
        answered = np.cumsum(films, axis=1)
        risk = np.cumsum(mistakes, axis=1) / np.maximum(answered, 1e-12)
        return divide((films * risk).sum(axis=1), films.sum(axis=1))


@dataclass(frozen=True)
class RiskCoveragePoints:
    """Corners of the curve, from the surest films to all; arrays of (points,).

    Attributes:
        coverage: Share of the films that are answered, 0 to 1; the last is 1.
        risk: Share of the answers that are wrong, 0 to 1.
        confidence: Lowest confidence that is still answered.
    """

    coverage: _Array
    risk: _Array
    confidence: _Array


def build_risk_coverage_statistic(
    confidence: _Array, wrong: NDArray[np.bool_], *, name: str = "aurc"
) -> Statistic:
    """Build the mean risk over all coverages; 0 is best, and the plain error rate is no ranking.

    Args:
        confidence: Higher is surer, (films,).
        wrong: Whether the answer is wrong, (films,).
        name: Of the statistic.

    References:
        Geifman and El-Yaniv 2017; the mean over the films, each at its own coverage, is the AURC
        of Geifman et al. 2019. Ours answers films of equal confidence together.
    """
    everyone = (np.ones(len(wrong), dtype=bool),)
    compute = _MeanRisk(confidence, wrong)
    return Statistic(name=name, compute=compute, parts=everyone, undefined="There is no film.")


def compute_risk_coverage_points(
    confidence: _Array, wrong: NDArray[np.bool_]
) -> RiskCoveragePoints | None:
    """Compute the curve; None without films. Arguments as of `build_risk_coverage_statistic`."""
    if not len(wrong):
        return None
    films, mistakes = _MeanRisk(confidence, wrong).sum_by_step(np.ones((1, len(wrong))))
    answered = np.cumsum(films[0])
    return RiskCoveragePoints(
        coverage=answered / answered[-1],
        risk=np.cumsum(mistakes[0]) / answered,
        confidence=np.unique(confidence)[::-1],
    )
