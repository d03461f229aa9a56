"""How alike maps are, beyond what any two maps of the method share."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cxresnet.metrics.likeness import compute_rank_correlation, compute_ssim

__all__ = [
    "MEASURES",
    "MEASURE_TITLES",
    "Measure",
    "OwnMaps",
    "build_own_maps",
    "compute_kept",
    "compute_likeness",
]

Measure = Literal["signed", "absolute", "ssim"]
MEASURES: tuple[Measure, ...] = ("signed", "absolute", "ssim")
MEASURE_TITLES: dict[Measure, str] = {
    "signed": "order of the signed values (Spearman)",
    "absolute": "order of the strengths (Spearman)",
    "ssim": "structure of the strengths (SSIM)",
}

_FULL_QUANTILE = 0.99
"""A few outliers must not press all else to 0, where everything looks alike."""

_Maps = NDArray[np.float32]


def compute_likeness(first: _Maps, second: _Maps, measure: Measure) -> float:
    """Compute how alike two maps are, -1 to 1.

    Args:
        first: (row, column), signed.
        second: The same shape.
        measure: Spearman over signed or absolute values, or SSIM over absolute values, each map
            over its own 99 % quantile.

    Returns:
        NaN where `first` is the same everywhere; 0 where only `second` is.
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
class OwnMaps:
    """Maps of the network as it is, and how alike any two of them are.

    Attributes:
        maps: (film, row, column).
        strangers: For each measure, the mean likeness of each map with those of other films,
            (film,); NaN where a map is the same everywhere, or there is no other film.
    """

    maps: _Maps
    strangers: dict[Measure, NDArray[np.float64]]


def build_own_maps(maps: _Maps) -> OwnMaps:
    """Measure once how alike the maps of different films are."""
    return OwnMaps(maps, {measure: _compute_strangers(maps, measure) for measure in MEASURES})


def compute_kept(own: OwnMaps, others: _Maps, measure: Measure) -> NDArray[np.float64]:
    """Compute how much of its own likeness each map keeps.

    Any two maps of a method may be somewhat alike (pale at the rim, say), whatever the network has
    learned. What counts is the likeness beyond that of other films' maps: 1 is "the same map", 0 is
    "no more alike than the map of another film".

    Args:
        own: Of the network.
        others: The same films' maps in another situation.
        measure: See `compute_likeness`.

    Returns:
        (film,), -1 to 1; NaN where a map is the same everywhere, or there is no other film.

    References:
        Arun 2021, figure 3: the mean likeness of pairs of films' maps is the bar to fall under.
    """
    likeness = np.array(
        [
            compute_likeness(first, second, measure)
            for first, second in zip(own.maps, others, strict=True)
        ]
    )
    strangers = own.strangers[measure]
    kept: NDArray[np.float64] = (likeness - strangers) / np.maximum(1 - strangers, 1e-6)
    return np.clip(kept, -1, 1)


def _compute_strangers(maps: _Maps, measure: Measure) -> NDArray[np.float64]:
    table = _compare_all(maps, measure)
    np.fill_diagonal(table, np.nan)
    known = ~np.isnan(table)
    counts = known.sum(axis=1)
    sums = np.where(known, table, 0).sum(axis=1)
    means: NDArray[np.float64] = np.full(len(maps), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _compare_all(maps: _Maps, measure: Measure) -> NDArray[np.float64]:
    """Compare each map with each, (film, film); the ranks of a map are found once."""
    if measure == "ssim":
        table = np.full((len(maps), len(maps)), np.nan)
        for one, other in itertools.combinations(range(len(maps)), 2):
            for first, second in ((one, other), (other, one)):
                table[first, second] = compute_likeness(maps[first], maps[second], measure)
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
