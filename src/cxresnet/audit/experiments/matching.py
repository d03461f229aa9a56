"""Pairs of images of different classes that agree in all that is known and is not the disease.

Greedy matching, one to one: of all pairs that agree, the two most alike in tone and sharpness are
taken first, and each image is taken once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.model import Images
from cxresnet.shortcuts.features import compute_bytes_features, compute_scalar_features

_BAND_YEARS = 10
_UNKNOWN = -1.0

ImagePair = tuple[int, int]
"""Numbers of two images."""

Agreement = NDArray[np.bool_]
"""Which images agree with which, (images, images)."""


@dataclass(frozen=True, eq=False)
class MatchingImages:
    """What images are matched by; arrays of one entry an image, one image a patient.

    Attributes:
        labels: Class.
        sources: Where each comes from.
        views: "" where it is not recorded.
        sexes: Likewise.
        age_bands: Tens of years, rounded down; -1 where the age is not recorded.
        tone: Mean grey, in standard deviations of all of them.
        sharpness: Bytes per pixel as PNG, in standard deviations of all of them.
    """

    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    views: NDArray[np.str_]
    sexes: NDArray[np.str_]
    age_bands: NDArray[np.float64]
    tone: NDArray[np.float64]
    sharpness: NDArray[np.float64]


def measure_images(
    manifest: pd.DataFrame, images: Images, labels: NDArray[np.int64]
) -> MatchingImages:
    """Measure tone and sharpness of images, and read the rest from their rows.

    Args:
        manifest: With the columns `source`, `view`, `sex` and `age_years`.
        images: (images, side, side), 0 to 255.
        labels: (images,).
    """
    ages = pd.to_numeric(manifest["age_years"], errors="coerce").to_numpy(dtype=np.float64)
    return MatchingImages(
        labels=labels,
        sources=manifest["source"].to_numpy(dtype=str),
        views=manifest["view"].to_numpy(dtype=str),
        sexes=manifest["sex"].to_numpy(dtype=str),
        age_bands=np.where(np.isnan(ages), _UNKNOWN, ages // _BAND_YEARS),
        tone=_divide_by_sd(compute_scalar_features(images)[:, 0]),
        sharpness=_divide_by_sd(compute_bytes_features(images)[:, 0]),
    )


def _divide_by_sd(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(values.std())
    return values / spread if spread > 0 else np.zeros_like(values)


def find_matched_pairs(images: MatchingImages, *, tolerance_sd: float) -> list[ImagePair]:
    """Find pairs of different classes that agree, the most alike first; each image once.

    Args:
        images: One a patient.
        tolerance_sd: Tone and sharpness may differ by this many standard deviations.
    """
    agreement = images.labels[:, None] != images.labels[None, :]
    for _, agree in _list_requirements(images, tolerance_sd=tolerance_sd):
        agreement &= agree
    return _match(images, agreement)


def _list_requirements(
    images: MatchingImages, *, tolerance_sd: float
) -> Iterator[tuple[str, Agreement]]:
    """List what two images must agree in, each by its name."""
    for name, values in (("source", images.sources), ("view", images.views)):
        yield name, values[:, None] == values[None, :]
    unknown = images.sexes == ""
    is_same_sex = images.sexes[:, None] == images.sexes[None, :]
    yield "sex", is_same_sex | unknown[:, None] | unknown[None, :]
    yield "age band", images.age_bands[:, None] == images.age_bands[None, :]
    for name, numbers in (("tone", images.tone), ("sharpness", images.sharpness)):
        yield name, np.abs(numbers[:, None] - numbers[None, :]) <= tolerance_sd


def _match(images: MatchingImages, agreement: Agreement) -> list[ImagePair]:
    first, second = np.nonzero(np.triu(agreement, 1))
    distance = np.hypot(
        images.tone[first] - images.tone[second], images.sharpness[first] - images.sharpness[second]
    )
    order = np.argsort(distance, kind="stable")
    is_free = np.ones(len(images.labels), dtype=bool)
    pairs = []
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if is_free[one] and is_free[other]:
            is_free[one] = is_free[other] = False
            pairs.append((one, other))
    return pairs


def explain_lack_of_pairs(images: MatchingImages, *, tolerance_sd: float, needed: int) -> str:
    """Explain in one sentence which requirement leaves too few pairs.

    Args:
        images: One a patient.
        tolerance_sd: As of `find_matched_pairs`.
        needed: The fewest pairs.
    """
    agreement = images.labels[:, None] != images.labels[None, :]
    if not agreement.any():
        return "All images are of one class, so there are no pairs of different classes."
    agreed: list[str] = []
    found = len(_match(images, agreement))
    for name, agree in _list_requirements(images, tolerance_sd=tolerance_sd):
        agreement &= agree
        before, found = found, len(_match(images, agreement))
        agreed.append(name)
        if found < needed:
            break
    if agreed == ["source"] and not found:
        return (
            "No such pairs exist: no source has images of two classes, so nothing can distinguish "
            "the class from the source."
        )
    without = f"; without {agreed[-1]} there are {before}" if before >= needed else ""
    return (
        f"Too few such pairs exist: {needed} are needed, and {found} agree in {_join(agreed)}"
        f"{without}."
    )


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def rank_by(
    values: NDArray[np.float64], labels: NDArray[np.int64], pairs: Sequence[ImagePair]
) -> NDArray[np.float64]:
    """Rank the two images of each pair by a property: that of the class with the higher mean first.

    Matching within a tolerance leaves small differences, and what is left may still point to the
    class: a model must do better than this.

    Args:
        values: One an image, (images,).
        labels: Class of each image, (images,).
        pairs: Of different classes.

    Returns:
        1 where the image of the class with the higher mean has the higher value, 0.5 where both
        are equal, else 0; (pairs,).
    """
    means = {label: values[labels == label].mean() for label in np.unique(labels).tolist()}
    return np.array(
        [
            (
                1
                + np.sign(values[one] - values[other])
                * _find_sign(means, labels[one], labels[other])
            )
            / 2
            for one, other in pairs
        ]
    )


def _find_sign(means: dict[int, float], one: int, other: int) -> float:
    return 1.0 if means[int(one)] >= means[int(other)] else -1.0


def draw_unmatched_pairs(
    labels: NDArray[np.int64], pairs: Sequence[ImagePair], *, generator: np.random.Generator
) -> list[ImagePair]:
    """Draw as many pairs of the same classes at random, each image once.

    Args:
        labels: Class of each image, (images,).
        pairs: Those to be compared with; each image once.
        generator: Draws.
    """
    left = {
        label: generator.permutation(np.flatnonzero(labels == label)).tolist()
        for label in np.unique(labels).tolist()
    }
    return [(left[int(labels[one])].pop(), left[int(labels[other])].pop()) for one, other in pairs]
