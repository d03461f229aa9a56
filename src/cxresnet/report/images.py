"""Arrays as pictures inside the page: `data:` addresses, so that nothing is fetched."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["build_data_address", "paint_outline"]


def build_data_address(pixels: NDArray[np.uint8], *, largest_side_px: int) -> str:
    """Encode a picture as PNG in a `data:` address.

    Args:
        pixels: (row, column) grey, or (row, column, 3) RGB.
        largest_side_px: A larger picture is reduced to this side, so that the page stays small.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((largest_side_px, largest_side_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def paint_outline(pixels: NDArray[np.uint8], outline: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Paint an outline in white on a grey or RGB picture; the picture given stays as it is."""
    painted = pixels.copy()
    painted[outline] = 255
    return painted
