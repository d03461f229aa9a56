"""Signed attribution → heatmap [0, 1] → overlay RGB. A colour means the same on every image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

FOR_RGB = (255, 106, 0)
"""Orange: evidence for the class. Distinct from the blue with every common colour blindness."""

AGAINST_RGB = (38, 128, 255)
"""Blue: evidence against the class."""

BASELINE_RANGE_RGB = (190, 80, 230)
"""Violet: range between baselines. Neither for nor against."""

_MAX_OPACITY = 0.8
"""At the ends of the scale a fifth of the image is still visible."""

_ROUND_LIMITS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)


def compute_scale_limit(maps: NDArray[np.float32]) -> float:
    """Choose the ends of the shared colour scale: the smallest round number that holds all values.

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
    """Choose the ends of the scale of a method that has its own.

    Gradients have a few pixels far beyond all others; the top half per cent is drawn as the end.

    Args:
        maps: Signed, any shape and unit: all images of one method.

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

    A single pixel of a complete map contributes next to nothing. The sum over a patch is a change
    of probability, on the scale of the other methods, and noise cancels in it.

    Args:
        attribution: (…, row, column), signed.
        patch_px: Side of the square around each pixel over which values are summed; values outside
            of the image count as 0. None: the map as it is.

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
    image: NDArray[np.uint8], attribution: NDArray[np.float32], *, scale_limit: float
) -> NDArray[np.uint8]:
    """Tint an image: orange is evidence for the class, blue against; opacity grows with strength.

    Args:
        image: (row, column).
        attribution: (row, column), signed change of probability.
        scale_limit: Change of probability at both ends of the scale.

    Returns:
        (row, column, 3).
    """
    signed = 2 * compute_heatmap(attribution, scale_limit=scale_limit)[..., None] - 1
    tint = np.where(signed > 0, np.array(FOR_RGB), np.array(AGAINST_RGB))
    opacity = _MAX_OPACITY * np.abs(signed)
    mixed = image[..., None] * (1 - opacity) + tint * opacity
    return np.rint(mixed).astype(np.uint8)


def draw_baseline_range(
    image: NDArray[np.uint8], baseline_range: NDArray[np.float32], *, scale_limit: float
) -> NDArray[np.uint8]:
    """Tint an image violet where the value of a method depends on the baseline.

    Args:
        image: (row, column).
        baseline_range: (row, column), largest less smallest value, at least 0.
        scale_limit: Of the method's map, so that the strength of both colours can be compared.

    Returns:
        (row, column, 3).
    """
    opacity = _MAX_OPACITY * (baseline_range / scale_limit).clip(0, 1)[..., None]
    mixed = image[..., None] * (1 - opacity) + np.array(BASELINE_RANGE_RGB) * opacity
    return np.rint(mixed).astype(np.uint8)


def draw_colour_bar(*, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Draw the scale as it looks on an image of medium grey, smallest value at the left.

    Returns:
        (row, column, 3).
    """
    scale = np.linspace(-1, 1, width_px, dtype=np.float32)
    image = np.full((height_px, width_px), 110, np.uint8)
    return draw_overlay(image, np.broadcast_to(scale, image.shape), scale_limit=1.0)


def find_outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the pixels of a mask that have a neighbour (4) outside of it.

    Args:
        mask: (row, column), above 0 inside.

    Returns:
        (row, column), true on the outline; the edge of the image is none.
    """
    inside = np.pad(mask > 0, 1, mode="edge")
    whole = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~whole


FAILED_LABEL = "not trustworthy for this model"
"""Drawn across every map of a method that failed a sanity check."""

_INK = (255, 255, 255)
_SHADE = (0, 0, 0)
_LEAST_PX = 8
_LETTERS_ACROSS = 15
_ROW_SHARE = 0.42
_OPACITY = 235
_LINE = "     ·     ".join([FAILED_LABEL] * 3)


def draw_watermark(picture: NDArray[np.uint8], *, min_side_px: int = 1) -> NDArray[np.uint8]:
    """Draw `FAILED_LABEL` across a picture, repeated so that no crop removes it.

    Args:
        picture: (row, column, 3).
        min_side_px: A smaller picture is enlarged to this, so that the words can be read.

    Returns:
        (row, column, 3), of the same shape or enlarged; what was given stays as it is.
    """
    scale = max(1.0, min_side_px / max(picture.shape[:2]))
    height, width = (round(scale * length) for length in picture.shape[:2])
    font = ImageFont.load_default(max(_LEAST_PX, round(width / _LETTERS_ACROSS)))
    words, halo = (Image.new("L", (2 * width, 2 * height), 0) for _ in range(2))
    for row in (-1, 0, 1):
        # The middle row shows the words whole; the others begin elsewhere.
        place = (width + row * width // 2, height + round(row * _ROW_SHARE * height))
        for mask, stroke in ((words, 0), (halo, 2)):
            pen = ImageDraw.Draw(mask)
            pen.text(place, _LINE, fill=_OPACITY, font=font, anchor="mm", stroke_width=stroke)
    box = (width // 2, height // 2, width // 2 + width, height // 2 + height)
    drawn = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    for mask, colour in ((halo, _SHADE), (words, _INK)):
        turned = mask.rotate(30, resample=Image.Resampling.BICUBIC).crop(box)
        drawn.paste(Image.new("RGB", drawn.size, colour), mask=turned)
    return np.asarray(drawn)
