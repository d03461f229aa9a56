"""Traces that processing leaves in the pixels of a file: flat patches, missing detail, block edges.

All three are measured on the decoded image at its own size, before the preprocessing pipeline makes
every image alike. An image that is so large that it was reduced while it was decoded is measured
after that. A single value says little; the values of one source beside those of another show
whether its images were filtered, upscaled or compressed again (`shortcuts/processing.py`).

References:
    Fan and de Queiroz 2003 (IEEE Transactions on Image Processing): the edges of 8 × 8 blocks
    reveal that a bitmap was a JPEG file before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PATCH_PX = 5
_MAX_FLAT_RANGE = 2
_BLACK, _WHITE = 0, 255
_BLOCK_PX = 8
_MIN_BLOCKS = 4
_NOISE_POWER = 4 / 12
"""Four times the power of rounding to whole grey levels: what lies below it holds no detail."""
_MAX_LINES = 128
"""So many rows (and columns) are enough for a median spectrum."""
_SMOOTHED_FREQUENCIES = 5


@dataclass(frozen=True, kw_only=True)
class ProcessingTraces:
    """What processing left in the pixels of one image.

    Attributes:
        flat_patch_share: Share of the 5 × 5 patches whose 25 pixels all lie within one grey level
            (of 256) of their middle; patches of pure black or pure white do not count.
        bandwidth_share: Highest spatial frequency with more power than rounding brings, as a share
            of the highest that the pixels can hold (Nyquist); low after upscaling or smoothing.
        block_edge_strength: Mean bend of the grey levels at the edges of 8 × 8 blocks, divided by
            that at the next strongest of the other offsets; 1 without a trace of JPEG.
    """

    flat_patch_share: float
    bandwidth_share: float
    block_edge_strength: float


def measure_processing_traces(pixels: NDArray[np.float32]) -> ProcessingTraces:
    """Measure the traces of processing in one decoded image.

    Args:
        pixels: (height, width), 0 to 1.
    """
    levels = np.rint(pixels * _WHITE).astype(np.uint8)
    directions = (levels, levels.T)
    return ProcessingTraces(
        flat_patch_share=round(_compute_flat_patch_share(levels), 6),
        bandwidth_share=round(min(map(_compute_bandwidth, directions)), 6),
        block_edge_strength=round(min(map(_compute_block_edges, directions)), 6),
    )


def _compute_flat_patch_share(levels: NDArray[np.uint8]) -> float:
    if min(levels.shape) < _PATCH_PX:
        return 0.0
    highest = _combine_patches(levels, np.maximum)
    lowest = _combine_patches(levels, np.minimum)
    counted = (highest > _BLACK) & (lowest < _WHITE)
    flat = counted & (highest - lowest <= _MAX_FLAT_RANGE)
    return float(int(np.count_nonzero(flat)) / max(int(np.count_nonzero(counted)), 1))


def _combine_patches(levels: NDArray[np.uint8], combine: np.ufunc) -> NDArray[np.uint8]:
    """Combine the pixels of every patch, first along columns and then along rows."""
    for _ in range(2):
        length = len(levels) - _PATCH_PX + 1
        combined = levels[:length]
        for shift in range(1, _PATCH_PX):
            combined = combine(combined, levels[shift : shift + length])
        levels = combined.T
    return levels


def _compute_bandwidth(levels: NDArray[np.uint8]) -> float:
    """Compute the bandwidth along rows."""
    from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to say what is wrong

    height, width = levels.shape
    if width < _MIN_BLOCKS * _BLOCK_PX:
        return 1.0
    lines = levels[:: max(1, height // _MAX_LINES)].astype(np.float32)
    window = np.hanning(width + 2)[1:-1].astype(np.float32)
    centred = (lines - lines.mean(axis=1, keepdims=True)) * window
    power = np.median(np.abs(np.fft.rfft(centred, axis=1)) ** 2, axis=0) / (window**2).sum()
    smooth = ndimage.uniform_filter1d(power, _SMOOTHED_FREQUENCIES, mode="nearest")
    above = np.flatnonzero(smooth > _NOISE_POWER)
    return float(above[-1] / (len(smooth) - 1)) if len(above) else 0.0


def _compute_block_edges(levels: NDArray[np.uint8]) -> float:
    """Compute the strength of block edges along rows, wherever the blocks begin.

    The bend at a place is its step less the mean of the steps beside it: a slope is no edge. Beside
    the next strongest offset, patterns of a shorter period, which upscaling leaves, cancel out.
    """
    if levels.shape[1] < _MIN_BLOCKS * _BLOCK_PX:
        return 1.0
    steps = np.diff(levels.astype(np.int16), axis=1)
    bends = np.abs(2 * steps[:, 1:-1] - steps[:, :-2] - steps[:, 2:]).mean(axis=0)
    by_offset = sorted(float(bends[offset::_BLOCK_PX].mean()) for offset in range(_BLOCK_PX))
    return by_offset[-1] / by_offset[-2] if by_offset[-2] > 0 else 1.0
