"""Means of square blocks of pixels: the cheap first step of reducing an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def find_block_size(height: int, width: int, *, min_side_px: int) -> int:
    """Find the side of the blocks that `average_blocks` takes the means of; 1 for none.

    >>> find_block_size(2500, 2048, min_side_px=512)
    4
    """
    return max(1, min(height, width) // min_side_px) if min_side_px else 1


def average_blocks(
    levels: NDArray[np.uint8] | NDArray[np.float32], *, min_side_px: int
) -> NDArray[np.float32]:
    """Average blocks of pixels, as large as leave the shorter side long enough.

    Rows and columns at the end that fill no block are left off, less than one block.

    Args:
        levels: (height, width), any scale. Whole levels are added up as whole numbers: a large
            image never stands in memory as floats.
        min_side_px: The shorter side keeps at least so many pixels, if it has them; 0 keeps all.

    Returns:
        (height // n, width // n), the same scale.

    >>> average_blocks(np.arange(16, dtype=np.uint8).reshape(4, 4), min_side_px=2)
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """
    size = find_block_size(*levels.shape, min_side_px=min_side_px)
    if size < 2:
        return levels.astype(np.float32, copy=False)
    height, width = levels.shape[0] // size, levels.shape[1] // size
    whole = levels.dtype.kind == "u"
    rows = levels[: height * size].reshape(height, size, -1)
    rows = rows.sum(axis=1, dtype=np.uint32 if whole else np.float32)
    blocks = rows[:, : width * size : size].copy()
    for column in range(1, size):
        blocks += rows[:, column : width * size : size]
    means: NDArray[np.float32] = blocks.astype(np.float32, copy=False)
    means /= size * size
    return means
