"""The fingerprint by which near-duplicates are found: a small, normalised thumbnail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FINGERPRINT_SIDE_PX = 32
FINGERPRINT_SIZE_BYTES = FINGERPRINT_SIDE_PX * FINGERPRINT_SIDE_PX

_UNIFORM_STEP = 0.016
"""A border row that stays within this share of the grey scale (and JPEG noise does) is padding."""

_TURNS = 4

_LARGEST_BORDER = 0.3
"""Share of each side that may at most be cut in one turn: an image is not stripped away."""

_GREY_PER_SD = 48.0
"""Grey levels of the thumbnail for one standard deviation of the image."""


def compute_fingerprint(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Compute the fingerprint of one decoded image: call it where images are decoded.

    Padding is cut off, the rest is squeezed to a square thumbnail, and brightness and contrast are
    normalised. What changes a near-duplicate (encoding, size, brightness, padding) changes the
    fingerprint little; a crop moves it, which `find_clusters` allows for.

    Args:
        pixels: The image as decoded, before it is cropped or normalised; (height, width), 0 to 1.

    Returns:
        (FINGERPRINT_SIZE_BYTES,), the thumbnail row by row. Stack those of all images to
        (n, FINGERPRINT_SIZE_BYTES) for `find_clusters`.
    """
    image = _strip_padding(np.asarray(pixels, dtype=np.float32))
    rows = _build_area_weights(image.shape[0])
    columns = _build_area_weights(image.shape[1])
    thumbnail = rows @ image @ columns.T
    deviation = max(float(thumbnail.std()), 1e-6)
    even = (thumbnail - thumbnail.mean()) * (_GREY_PER_SD / deviation) + 127.5
    return np.asarray(np.rint(np.clip(even, 0, 255)), dtype=np.uint8).ravel()


def compute_fingerprints(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Compute the fingerprints of images that are at hand as grey levels 0 to 255.

    Args:
        images: Each (height, width); their sizes may differ.

    Returns:
        (n, FINGERPRINT_SIZE_BYTES).
    """
    prints = [compute_fingerprint(image / np.float32(255)) for image in images]
    return np.stack(prints) if prints else np.zeros((0, FINGERPRINT_SIZE_BYTES), dtype=np.uint8)


def _strip_padding(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off rows and columns at the border that are of one grey.

    What lies under a padding may itself have an even border, as the original has: hence the turns.
    """
    for _ in range(_TURNS):
        top, bottom = _find_padding(image)
        left, right = _find_padding(image.T)
        if not (top or bottom or left or right):
            break
        image = image[top : image.shape[0] - bottom, left : image.shape[1] - right]
    return image


def _find_padding(image: NDArray[np.float32]) -> tuple[int, int]:
    """Count the rows of one grey at the top and at the bottom."""
    top = _count_uniform_rows(image)
    if top == len(image):
        return 0, 0
    most = int(_LARGEST_BORDER * len(image))
    return min(top, most), min(_count_uniform_rows(image[::-1]), most)


def _count_uniform_rows(image: NDArray[np.float32]) -> int:
    """Count the rows of one grey before the first busy one; few images have more than none."""
    start, step = 0, 2
    while start < len(image):
        low, high = np.percentile(image[start : start + step], (2, 98), axis=1)
        busy = np.flatnonzero(high - low > _UNIFORM_STEP)
        if len(busy):
            return start + int(busy[0])
        start, step = start + step, 2 * step
    return len(image)


def _build_area_weights(length: int) -> NDArray[np.float32]:
    """Build the weights of area averaging: (FINGERPRINT_SIDE_PX, length), rows add up to 1."""
    edges = np.linspace(0, length, FINGERPRINT_SIDE_PX + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


# Histogram equalisation of thumbnails, so that only the order of their grey levels is left.


_BLOCK = 4096


def equalise_histograms(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace each grey by its rank among the greys of its thumbnail.

    A near-duplicate with another tone curve, or posterised, roughly keeps the order of its greys.

    Args:
        thumbnails: (n, side, side).

    Returns:
        The same shape; 0 the darkest to 255 the brightest, equal greys at the middle of their
        ranks, so that an even thumbnail is 127 throughout.
    """
    rows = thumbnails.reshape(len(thumbnails), thumbnails.shape[1] * thumbnails.shape[2])
    equalised = np.empty_like(rows)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        places = np.arange(len(block))[:, None] * 256 + block
        counts = np.bincount(places.ravel(), minlength=256 * len(block)).reshape(-1, 256)
        middle = counts.cumsum(axis=1) - (counts + 1) / 2
        levels = (middle * (255 / max(rows.shape[1] - 1, 1))).clip(0, 255).astype(np.uint8)
        equalised[start : start + _BLOCK] = np.take_along_axis(
            levels, block.astype(np.intp), axis=1
        )
    return equalised.reshape(thumbnails.shape)
