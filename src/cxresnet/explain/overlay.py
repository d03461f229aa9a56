"""Signed attribution → heatmap [0, 1] → overlay RGB. A colour means the same in two pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AGAINST_RGB",
    "FOR_RGB",
    "compute_heatmap",
    "compute_scale_limit",
    "draw_colour_bar",
    "draw_overlay",
    "find_outline",
]

FOR_RGB = (255, 106, 0)
"""Orange: what argues for the class. Told from the blue with every common colour blindness."""

AGAINST_RGB = (38, 128, 255)
"""Blue: what argues against the class."""

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
