"""Give all thumbnails the same grey levels, so that only the order of their greys is left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_out_tones"]

_BLOCK = 4096


def even_out_tones(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace each grey by its rank among the greys of its thumbnail.

    A copy that was re-toned or posterised keeps the order of its greys, more or less.

    Args:
        thumbnails: (n, side, side).

    Returns:
        The same shape; 0 the darkest to 255 the brightest, equal greys at the middle of their
        ranks, so that an even thumbnail is 127 throughout.
    """
    rows = thumbnails.reshape(len(thumbnails), thumbnails.shape[1] * thumbnails.shape[2])
    evened = np.empty_like(rows)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        places = np.arange(len(block))[:, None] * 256 + block
        counts = np.bincount(places.ravel(), minlength=256 * len(block)).reshape(-1, 256)
        middle = counts.cumsum(axis=1) - (counts + 1) / 2
        levels = (middle * (255 / max(rows.shape[1] - 1, 1))).clip(0, 255).astype(np.uint8)
        evened[start : start + _BLOCK] = np.take_along_axis(levels, block.astype(np.intp), axis=1)
    return evened.reshape(thumbnails.shape)
