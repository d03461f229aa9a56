"""Similarity of maps, beyond what any two maps of the same method share."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

# Similarity of two maps: by the order of their values, and by their structure.


_SIGMA_PX = 1.5
_REACH_PX = 5
_STEADY_MEAN = 0.01**2
_STEADY_SPREAD = 0.03**2

_Map = NDArray[np.floating]


def compute_rank_correlation(first: _Map, second: _Map) -> float:
    """Compute Spearman's rank correlation of two maps, pixel by pixel.

    Args:
        first: Any shape.
        second: The same shape.

    Returns:
        -1 to 1; ties share their mean rank. NaN where one of them is the same everywhere.
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    ranks = [stats.rankdata(values.ravel()) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


def compute_ssim(first: _Map, second: _Map) -> float:
    """Compute the structural similarity of two maps with values from 0 to 1.

    Args:
        first: (row, column), both sides at least 11 px.
        second: The same shape.

    Returns:
        -1 to 1; 1 for equal maps.

    References:
        Wang et al. 2004: Gaussian window of 11 px (sigma 1.5), constants 0.01 and 0.03; mean over
        the places where the window lies inside the map.
    """
    return _compare_structure(_measure_structure(first), _measure_structure(second))


@dataclass(frozen=True, eq=False)
class _Structure:
    """What SSIM needs of one map: its values, and their mean and variance around each place."""

    values: NDArray[np.float64]
    means: NDArray[np.float64]
    variances: NDArray[np.float64]


def _measure_structure(values: _Map) -> _Structure:
    exact = values.astype(np.float64)
    means = _blur(exact)
    return _Structure(exact, means, _blur(exact**2) - means**2)


def _compare_structure(first: _Structure, second: _Structure) -> float:
    product = first.means * second.means
    covariance = _blur(first.values * second.values) - product
    brightness = (2 * product + _STEADY_MEAN) / (first.means**2 + second.means**2 + _STEADY_MEAN)
    structure = (2 * covariance + _STEADY_SPREAD) / (
        first.variances + second.variances + _STEADY_SPREAD
    )
    inside = (slice(_REACH_PX, -_REACH_PX),) * 2
    return float((brightness * structure)[inside].mean())


def _blur(values: _Map) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = ndimage.gaussian_filter(values, _SIGMA_PX, radius=_REACH_PX)
    return blurred


Measure = Literal["signed", "absolute", "ssim"]
MEASURES: tuple[Measure, ...] = ("signed", "absolute", "ssim")
MEASURE_TITLES: dict[Measure, str] = {
    "signed": "rank correlation of signed values",
    "absolute": "rank correlation of absolute values",
    "ssim": "SSIM of absolute values",
}

_FULL_QUANTILE = 0.99
"""A few outliers must not compress all other values to 0, where all maps look similar."""

_Maps = NDArray[np.float32]


def compute_map_similarity(first: _Maps, second: _Maps, measure: Measure) -> float:
    """Compute the similarity of two maps, -1 to 1.

    Args:
        first: (row, column), signed.
        second: The same shape.
        measure: Spearman over signed or absolute values, or SSIM over absolute values, each map
            over its own 99 % quantile.

    Returns:
        NaN where `first` is constant; 0 where only `second` is.
    """
    if np.ptp(first) == 0:
        return float("nan")
    if np.ptp(second) == 0:
        return 0.0
    if measure == "signed":
        return compute_rank_correlation(first, second)
    if measure == "absolute":
        return compute_rank_correlation(np.abs(first), np.abs(second))
    return compute_ssim(_scale(first), _scale(second))


@dataclass(frozen=True, eq=False)
class ReferenceMaps:
    """Maps of the trained network, and the similarity between those of different images.

    Attributes:
        maps: (image, row, column).
        unrelated_similarity: For each measure, the mean similarity of each map to those of other
            images, (image,); NaN where a map is constant, or there is no other image.
    """

    maps: _Maps
    unrelated_similarity: dict[Measure, NDArray[np.float64]]

    def take(self, rows: NDArray[np.intp]) -> ReferenceMaps:
        """Take some images; how similar the maps of different images are stays that of all."""
        unrelated = {name: values[rows] for name, values in self.unrelated_similarity.items()}
        return ReferenceMaps(self.maps[rows], unrelated)


def build_reference_maps(maps: _Maps) -> ReferenceMaps:
    """Measure once how similar the maps of different images are."""
    return ReferenceMaps(
        maps, {measure: _compute_unrelated_similarity(maps, measure) for measure in MEASURES}
    )


def compute_similarity_retained(
    reference: ReferenceMaps, others: _Maps, measure: Measure
) -> NDArray[np.float64]:
    """Compute the similarity that each map retains under a change.

    Any two maps of a method may be somewhat similar (weak at the border, say), whatever the network
    has learned. What counts is the similarity beyond that of other images' maps: 1 is the same map,
    0 is no more similar than the map of another image.

    Args:
        reference: Of the trained network.
        others: The maps of the same images after the change.
        measure: See `compute_map_similarity`.

    Returns:
        (image,), -1 to 1; NaN where a map is constant, or there is no other image.

    References:
        Arun 2021, figure 3: the mean similarity between maps of different images is the threshold.
    """
    similarity = np.array(
        [
            compute_map_similarity(first, second, measure)
            for first, second in zip(reference.maps, others, strict=True)
        ]
    )
    unrelated_similarity = reference.unrelated_similarity[measure]
    similarity_retained: NDArray[np.float64] = (similarity - unrelated_similarity) / np.maximum(
        1 - unrelated_similarity, 1e-6
    )
    return np.clip(similarity_retained, -1, 1)


def _compute_unrelated_similarity(maps: _Maps, measure: Measure) -> NDArray[np.float64]:
    table = _compare_all(maps, measure)
    np.fill_diagonal(table, np.nan)
    known = ~np.isnan(table)
    counts = known.sum(axis=1)
    sums = np.where(known, table, 0).sum(axis=1)
    means: NDArray[np.float64] = np.full(len(maps), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _compare_all(maps: _Maps, measure: Measure) -> NDArray[np.float64]:
    """Compare each map with each, (image, image); what one map alone decides is found once."""
    if measure == "ssim":
        flat = np.ptp(maps, axis=(1, 2)) == 0
        table = np.zeros((len(maps), len(maps)))
        known = {row: _measure_structure(_scale(maps[row])) for row in np.flatnonzero(~flat)}
        for one, other in itertools.combinations(known, 2):
            table[one, other] = table[other, one] = _compare_structure(known[one], known[other])
        table[flat] = np.nan
        return table
    values = maps if measure == "signed" else np.abs(maps)
    ranks = np.stack([stats.rankdata(each.ravel()) for each in values])
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    table = ranks @ ranks.T / np.maximum(np.outer(lengths, lengths), 1e-12)
    flat = lengths == 0
    table[flat] = np.nan
    return np.asarray(table)


def _scale(values: _Maps) -> NDArray[np.float64]:
    strength = np.abs(values, dtype=np.float64)
    full = float(np.quantile(strength, _FULL_QUANTILE)) or float(strength.max())
    return np.clip(strength / full, 0, 1)
