"""What is kept of a film to recognise its copies: a small, evened-out thumbnail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FINGERPRINT_SIDE_PX",
    "FINGERPRINT_SIZE_BYTES",
    "compute_fingerprint",
    "compute_fingerprints",
]

FINGERPRINT_SIDE_PX = 32
FINGERPRINT_SIZE_BYTES = FINGERPRINT_SIDE_PX * FINGERPRINT_SIDE_PX

_EVEN_STEP = 0.016
"""A border row that stays within this share of the grey scale (and JPEG noise does) is padding."""

_TURNS = 4

_LARGEST_BORDER = 0.3
"""Share of each side that may at most be cut in one turn: a film is not stripped away."""

_GREY_PER_SD = 48.0
"""Grey levels of the thumbnail for one standard deviation of the film."""


def compute_fingerprint(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Compute the fingerprint of one decoded film: call it where films are decoded.

    Padding is cut off, the rest is squeezed to a square thumbnail, and brightness and contrast are
    evened out. What a copy goes through (another encoding, size, brightness, padding) changes the
    fingerprint little; a crop moves it, which `find_clusters` allows for.

    Args:
        pixels: The film as decoded, before it is cropped or normalised; (height, width), 0 to 1.

    Returns:
        (FINGERPRINT_SIZE_BYTES,), the thumbnail row by row. Stack those of all films to
        (n, FINGERPRINT_SIZE_BYTES) for `find_clusters`.
    """
    film = _strip_padding(np.asarray(pixels, dtype=np.float32))
    rows = _build_area_weights(film.shape[0])
    columns = _build_area_weights(film.shape[1])
    thumbnail = rows @ film @ columns.T
    deviation = max(float(thumbnail.std()), 1e-6)
    even = (thumbnail - thumbnail.mean()) * (_GREY_PER_SD / deviation) + 127.5
    return np.asarray(np.rint(np.clip(even, 0, 255)), dtype=np.uint8).ravel()


def compute_fingerprints(films: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Compute the fingerprints of films that are at hand as grey levels 0 to 255.

    Args:
        films: Each (height, width); their sizes may differ.

    Returns:
        (n, FINGERPRINT_SIZE_BYTES).
    """
    prints = [compute_fingerprint(film / np.float32(255)) for film in films]
    return np.stack(prints) if prints else np.zeros((0, FINGERPRINT_SIZE_BYTES), dtype=np.uint8)


def _strip_padding(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off rows and columns at the border that are of one grey.

    What lies under a padding may itself have an even border, as the original has: hence the turns.
    """
    for _ in range(_TURNS):
        top, bottom = _find_padding(film)
        left, right = _find_padding(film.T)
        if not (top or bottom or left or right):
            break
        film = film[top : film.shape[0] - bottom, left : film.shape[1] - right]
    return film


def _find_padding(film: NDArray[np.float32]) -> tuple[int, int]:
    """Count the rows of one grey at the top and at the bottom."""
    top = _count_even_rows(film)
    if top == len(film):
        return 0, 0
    most = int(_LARGEST_BORDER * len(film))
    return min(top, most), min(_count_even_rows(film[::-1]), most)


def _count_even_rows(film: NDArray[np.float32]) -> int:
    """Count the rows of one grey before the first busy one; few films have more than none."""
    start, step = 0, 2
    while start < len(film):
        low, high = np.percentile(film[start : start + step], (2, 98), axis=1)
        busy = np.flatnonzero(high - low > _EVEN_STEP)
        if len(busy):
            return start + int(busy[0])
        start, step = start + step, 2 * step
    return len(film)


def _build_area_weights(length: int) -> NDArray[np.float32]:
    """Build the weights of area averaging: (FINGERPRINT_SIDE_PX, length), rows add up to 1."""
    edges = np.linspace(0, length, FINGERPRINT_SIDE_PX + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
