"""Curves of the answers that change as a shortcut grows, and the strength that changes half."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.audit.context import STRICT_CONFIDENCE
from cxresnet.core.finding import Finding, Measure

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried on every image; at 0 an image is as it was."""

_HALF = 0.5


@dataclass(frozen=True)
class HalfStrength:
    """The strength that changes half of the answers; infinite where more than 1 would be needed.

    Attributes:
        value: On the images at hand.
        low: Lower end of the 95 % interval over patients.
        high: Upper end.
        strict_high: Upper end of the interval of `STRICT_CONFIDENCE`.
    """

    value: float
    low: float
    high: float
    strict_high: float


def find_half_strength(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the strength at which a curve first reaches one half, by straight lines between steps.

    Args:
        shares: (curves, strengths), at each of `STRENGTHS`; at strength 0 a share is 0.

    Returns:
        (curves,); infinite where one half is not reached.

    >>> find_half_strength(np.array([[0, 0.25, 0.75, 1, 1], [0, 0, 0.1, 0.2, 0.4]])).tolist()
    [0.5, inf]
    """
    strengths = np.array([0.0, *STRENGTHS])
    curves = np.hstack([np.zeros((len(shares), 1)), shares])
    reaches = curves >= _HALF
    after = np.maximum(reaches.argmax(axis=1), 1)
    rows = np.arange(len(curves))
    low, high = curves[rows, after - 1], curves[rows, after]
    part = (_HALF - low) / np.where(high > low, high - low, 1.0)
    found = strengths[after - 1] + part * (strengths[after] - strengths[after - 1])
    return np.where(reaches.any(axis=1), found, np.inf)


def resample_half_strength(
    changed: NDArray[np.bool_], *, resamples: int, generator: np.random.Generator
) -> HalfStrength:
    """Estimate the strength that changes half of the answers, by percentiles over resamples.

    Args:
        changed: Whether the answer changed at each strength, (strengths, images); one image a
            patient.
        resamples: How often the patients are drawn with replacement.
        generator: Source of the draws.
    """
    images = changed.shape[1]
    weights = generator.multinomial(images, np.full(images, 1 / images), size=resamples)
    responses = changed.T.astype(np.float64) / images
    ordered = np.sort(find_half_strength(weights @ responses))
    low, high, strict_high = (
        float(ordered[min(int(share * resamples), resamples - 1)])
        for share in (0.025, 0.975, (1 + STRICT_CONFIDENCE) / 2)
    )
    value = float(find_half_strength(np.ones((1, images)) @ responses)[0])
    return HalfStrength(value, low, high, strict_high)


# The curves as measures of the finding, and back.


@dataclass(frozen=True)
class DoseCurve:
    """How the share of changed answers grows with the strength of one shortcut.

    Attributes:
        shortcut: For people: "marker".
        strengths: In the order of the shares.
        shares: Of changed answers at each strength, with intervals.
    """

    shortcut: str
    strengths: tuple[float, ...]
    shares: tuple[Measure, ...]


_SHARE_NAME = re.compile(r"Share of answers changed by (.+) at strength ([\d.]+)")


def name_share(shortcut: str, strength: float) -> str:
    """Name the measure of one point of a curve.

    >>> name_share("marker", 0.4)
    'Share of answers changed by marker at strength 0.4'
    """
    return f"Share of answers changed by {shortcut} at strength {strength:g}"


def read_dose_curves(finding: Finding) -> tuple[DoseCurve, ...]:
    """Read the curves back from the finding of question 10, for a figure."""
    points: dict[str, list[tuple[float, Measure]]] = {}
    for measure in finding.measures:
        if found := _SHARE_NAME.fullmatch(measure.name):
            points.setdefault(found[1], []).append((float(found[2]), measure))
    return tuple(
        DoseCurve(
            shortcut=name,
            strengths=tuple(strength for strength, _ in ladder),
            shares=tuple(measure for _, measure in ladder),
        )
        for name, ladder in points.items()
    )
