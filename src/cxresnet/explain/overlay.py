"""Signed attribution → heatmap [0, 1] → overlay RGB. A colour means the same in two pictures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "AGAINST_RGB",
    "APART_RGB",
    "FOR_RGB",
    "compute_drawn_map",
    "compute_heatmap",
    "compute_own_scale_limit",
    "compute_scale_limit",
    "draw_colour_bar",
    "draw_overlay",
    "draw_spread",
    "find_outline",
]

FOR_RGB = (255, 106, 0)
"""Orange: what argues for the class. Told from the blue with every common colour blindness."""

AGAINST_RGB = (38, 128, 255)
"""Blue: what argues against the class."""

APART_RGB = (190, 80, 230)
"""Violet: how far several ways come apart. Neither for nor against."""

_STRONGEST_COVER = 0.8
"""At the ends of the scale a fifth of the film still shines through."""

_ROUND_LIMITS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)


def compute_scale_limit(maps: NDArray[np.float32]) -> float:
    """Choose the ends of the one colour scale: the least round number that no value exceeds.

    Args:
        maps: Signed changes of probability, any shape: all maps that share the scale.

    Returns:
        0.01 to 1.

    >>> compute_scale_limit(np.array([0.03, -0.12], np.float32))
    0.15
    """
    largest = float(np.abs(maps).max(initial=0.0))
    return next((limit for limit in _ROUND_LIMITS if largest <= limit), 1.0)


def compute_own_scale_limit(maps: NDArray[np.float32]) -> float:
    """Choose the ends of a scale for a method that has one of its own.

    Gradients have a few pixels far beyond all others; the last half percent is drawn as the end.

    Args:
        maps: Signed, any shape and unit: all films of one method.

    Returns:
        1, 2 or 5 times a power of ten, above 0.

    >>> compute_own_scale_limit(np.array([0.3, -0.03], np.float32))
    0.5
    """
    strong = float(np.quantile(np.abs(maps), 0.995)) if maps.size else 0.0
    if strong <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(strong))
    step = next((step for step in (1, 2, 5) if strong <= step * power), 10)
    return float(f"{step * power:.1g}")


def compute_drawn_map(
    attribution: NDArray[np.float32], *, patch_px: int | None
) -> NDArray[np.float32]:
    """Compute what is drawn of a map.

    A pixel of a map that adds up holds next to nothing. Its sum over a patch is a change of
    probability, on the scale of everything else, and noise cancels in it.

    Args:
        attribution: (…, row, column), signed.
        patch_px: Side of the square around each pixel over which values are added up; outside of
            the film there is nothing to add. None: the map as it is.

    Returns:
        The same shape.
    """
    if patch_px is None:
        return attribution
    axes = (attribution.ndim - 2, attribution.ndim - 1)
    means = ndimage.uniform_filter(
        attribution.astype(np.float64), size=patch_px, mode="constant", axes=axes
    )
    sums: NDArray[np.float32] = (means * patch_px**2).astype(np.float32)
    return sums


def compute_heatmap(attribution: NDArray[np.float32], *, scale_limit: float) -> NDArray[np.float32]:
    """Put a signed map on the scale.

    Args:
        attribution: Any shape, signed change of probability.
        scale_limit: Change of probability at both ends of the scale.

    Returns:
        The same shape, 0 to 1; 0.5 is no change, 1 is `scale_limit` and beyond.
    """
    heatmap: NDArray[np.float32] = attribution / np.float32(2 * scale_limit) + np.float32(0.5)
    return heatmap.clip(0, 1)


def draw_overlay(
    film: NDArray[np.uint8], attribution: NDArray[np.float32], *, scale_limit: float
) -> NDArray[np.uint8]:
    """Tint a film: orange argues for the class, blue against; the stronger, the less film.

    Args:
        film: (row, column).
        attribution: (row, column), signed change of probability.
        scale_limit: Change of probability at both ends of the scale.

    Returns:
        (row, column, 3).
    """
    signed = 2 * compute_heatmap(attribution, scale_limit=scale_limit)[..., None] - 1
    tint = np.where(signed > 0, np.array(FOR_RGB), np.array(AGAINST_RGB))
    cover = _STRONGEST_COVER * np.abs(signed)
    mixed = film[..., None] * (1 - cover) + tint * cover
    return np.rint(mixed).astype(np.uint8)


def draw_spread(
    film: NDArray[np.uint8], spread: NDArray[np.float32], *, scale_limit: float
) -> NDArray[np.uint8]:
    """Tint a film violet where several ways of one method come apart.

    Args:
        film: (row, column).
        spread: (row, column), largest less smallest value, at least 0.
        scale_limit: Of the method's map, so that the strength of both colours can be compared.

    Returns:
        (row, column, 3).
    """
    cover = _STRONGEST_COVER * (spread / scale_limit).clip(0, 1)[..., None]
    mixed = film[..., None] * (1 - cover) + np.array(APART_RGB) * cover
    return np.rint(mixed).astype(np.uint8)


def draw_colour_bar(*, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Draw the scale as it looks on a film of middle grey, least at the left.

    Returns:
        (row, column, 3).
    """
    scale = np.linspace(-1, 1, width_px, dtype=np.float32)
    film = np.full((height_px, width_px), 110, np.uint8)
    return draw_overlay(film, np.broadcast_to(scale, film.shape), scale_limit=1.0)


def find_outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the pixels of a mask that have a neighbour (4) outside of it.

    Args:
        mask: (row, column), above 0 inside.

    Returns:
        (row, column), true on the rim; the film's edge is no rim.
    """
    inside = np.pad(mask > 0, 1, mode="edge")
    whole = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~whole
