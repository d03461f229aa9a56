"""How alike two maps are: by the order of their values, and by their structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

__all__ = ["compute_rank_correlation", "compute_ssim"]

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
    means = [_blur(values) for values in (first, second)]
    spreads = [
        _blur(values**2) - mean**2 for values, mean in zip((first, second), means, strict=True)
    ]
    together = _blur(first * second) - means[0] * means[1]
    brightness = (2 * means[0] * means[1] + _STEADY_MEAN) / (
        means[0] ** 2 + means[1] ** 2 + _STEADY_MEAN
    )
    structure = (2 * together + _STEADY_SPREAD) / (sum(spreads) + _STEADY_SPREAD)
    inside = (slice(_REACH_PX, -_REACH_PX),) * 2
    return float((brightness * structure)[inside].mean())


def _blur(values: _Map) -> NDArray[np.float64]:
    blurred: NDArray[np.float64] = ndimage.gaussian_filter(
        values.astype(np.float64), _SIGMA_PX, radius=_REACH_PX
    )
    return blurred
