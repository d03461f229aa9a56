"""A standard pair of lungs to draw numbers on: no patient's, only the usual shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from cxresnet.explain.zones import compute_zones

__all__ = ["LEFT_LUNG", "RIGHT_LUNG", "Outline", "draw_standard_zones"]

Outline = tuple[tuple[float, float], ...]
"""Corners (across, down), 0 to 1 over a square; across from the picture's left."""

RIGHT_LUNG: Outline = (
    (0.355, 0.045), (0.400, 0.060), (0.425, 0.105), (0.435, 0.180), (0.440, 0.300),
    (0.445, 0.450), (0.440, 0.600), (0.430, 0.740), (0.425, 0.840), (0.360, 0.815),
    (0.270, 0.815), (0.180, 0.850), (0.105, 0.925), (0.070, 0.950), (0.065, 0.850),
    (0.070, 0.700), (0.085, 0.550), (0.110, 0.400), (0.150, 0.260), (0.200, 0.155),
    (0.255, 0.085), (0.305, 0.050),
)  # fmt: skip
"""The patient's right lung, at the picture's left; its floor is a dome."""

LEFT_LUNG: Outline = (
    (0.645, 0.045), (0.600, 0.060), (0.575, 0.105), (0.565, 0.180), (0.560, 0.300),
    (0.570, 0.450), (0.580, 0.600), (0.585, 0.740), (0.585, 0.870), (0.650, 0.850),
    (0.730, 0.845), (0.820, 0.880), (0.890, 0.945), (0.930, 0.970), (0.935, 0.870),
    (0.930, 0.700), (0.915, 0.550), (0.890, 0.400), (0.850, 0.260), (0.800, 0.155),
    (0.745, 0.085), (0.695, 0.050),
)  # fmt: skip
"""The patient's left lung, at the picture's right, through the shadow of the heart."""


def draw_standard_zones(side_px: int) -> NDArray[np.uint8]:
    """Draw the zones of the standard lungs: (side, side), an index into `ZONE_NAMES`."""
    return compute_zones(_fill(RIGHT_LUNG, side_px), _fill(LEFT_LUNG, side_px))


def _fill(outline: Outline, side_px: int) -> NDArray[np.bool_]:
    picture = Image.new("L", (side_px, side_px))
    corners = [(across * side_px, down * side_px) for across, down in outline]
    ImageDraw.Draw(picture).polygon(corners, fill=255)
    filled = np.asarray(picture).astype(np.float32)
    smooth: NDArray[np.bool_] = ndimage.gaussian_filter(filled, 0.012 * side_px) > 127
    return smooth
