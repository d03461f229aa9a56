"""Give every image the sharpness of a typical chest X-ray: one power spectrum for all sources.

Scanners sharpen, smooth and add noise each in their own way, and a network learns the scanner
instead of the disease: in the measurements behind docs/experiments.md the power at ten cycles an
image of one hospital's COVID-19 images is four times that of another hospital's normal images, and
children of a third hospital, whose images are as sharp, were all called COVID-19.

The image is taken apart into cosines (DCT-II, whose mirrored edges add no false detail). The mean
logarithm of their power is measured in rings of one radial frequency, and all cosines of a ring are
multiplied by one smooth gain, so that every ring has the power of a fixed, typical profile. Where
things lie is left alone, how strongly fine against coarse detail is drawn is not.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_TYPICAL_CYCLES = (1.7, 4.0, 7.0, 12.3, 21.6, 37.8, 50.0)
_TYPICAL_LOG_POWER = (-8.7, -10.7, -12.6, -14.3, -16.3, -18.5, -19.4)
"""Natural logarithm of the power of a cosine as a share of the number of pixels, by cycles an
image; measured on histogram-equalised images of 96 px, near those of the NIH and of OpenIST.
Beyond the ends the end is held."""

_RINGS = 11
_LOWEST_CYCLES = 1.5
_LARGEST_LOG_GAIN = 1.4
"""A ring is raised or lowered at most fourfold: more would draw noise, not detail."""

_LEAST_POWER = 1e-9


def standardise_spectrum(image: NDArray[np.float32], *, strength: float) -> NDArray[np.float32]:
    """Bring the power spectrum of one image to the typical one.

    Args:
        image: (height, width), 0 to 1.
        strength: How far, from 0 (not at all) to 1 (as far as the gain is allowed to go).

    Returns:
        The same shape, 0 to 1: the 1st percentile becomes black, the 99th white. An image without
        any contrast comes back as it is.
    """
    height, width = image.shape
    rows, columns = build_cosines(height), build_cosines(width)
    cosines = rows @ image.astype(np.float64) @ columns.T
    cycles = np.hypot(*np.mgrid[:height, :width]) / 2
    centres, own = _measure_rings(cosines**2 / image.size, cycles)
    typical = np.interp(np.log(centres), np.log(_TYPICAL_CYCLES), _TYPICAL_LOG_POWER)
    # Power is the square of amplitude: half the distance in logarithms.
    gains = np.clip(strength * (typical - own) / 2, -_LARGEST_LOG_GAIN, _LARGEST_LOG_GAIN)
    smooth = np.exp(np.interp(np.log(np.maximum(cycles, 1e-3)), np.log(centres), gains))
    smooth[0, 0] = 1.0  # the mean grey
    even = rows.T @ (cosines * smooth) @ columns
    low, high = np.percentile(even, (1, 99))
    if high - low < 1e-6:
        return image
    scaled: NDArray[np.float32] = np.clip((even - low) / (high - low), 0, 1).astype(np.float32)
    return scaled


@functools.lru_cache(maxsize=4)
def build_cosines(length: int) -> NDArray[np.float64]:
    """Build the orthonormal DCT-II as a matrix, (frequency, place).

    At the size of a network's input it is as quick as `scipy.fft`, whose import takes longer than
    everything else that a single prediction does besides importing torch.
    """
    places = np.arange(length) + 0.5
    angles = np.pi / length * np.outer(np.arange(length), places)
    cosines: NDArray[np.float64] = np.cos(angles) * np.sqrt(2 / length)
    cosines[0] /= np.sqrt(2)
    return cosines


def _measure_rings(
    power: NDArray[np.float64], cycles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the mean logarithm of power in rings of frequency; rings without a cosine are out.

    Returns:
        Cycles an image at the middle of each ring, and the mean, (rings,).
    """
    edges = np.geomspace(_LOWEST_CYCLES, max(power.shape) / 2 * 1.2, _RINGS)
    ring = np.digitize(cycles.ravel(), edges) - 1
    inside = (ring >= 0) & (ring < _RINGS - 1)
    logs = np.log(power.ravel() + _LEAST_POWER)
    counts = np.bincount(ring[inside], minlength=_RINGS - 1)
    sums = np.bincount(ring[inside], logs[inside], minlength=_RINGS - 1)
    centres = np.sqrt(edges[:-1] * edges[1:])
    held = counts > 0
    return centres[held], sums[held] / counts[held]
