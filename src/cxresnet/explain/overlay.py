"""Signed attribution → heatmap [0, 1] → overlay RGB. A colour means the same on every image."""

from __future__ import annotations

import functools
import importlib.util
import math
import textwrap
from pathlib import Path

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

SCALE_LIMIT = 0.5
"""Change of probability at both ends of the colour scale that all outputs share."""

LEAST_CHANGE = 0.05
"""A map whose largest change of probability is smaller is put into words: a tenth of the scale."""

_ROUND_LIMITS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)


def compute_scale_limit(maps: NDArray[np.float32]) -> float:
    """Choose the ends of a stretched colour scale: the smallest round number that holds all values.

    Args:
        maps: Signed changes of probability, any shape.

    Returns:
        0.01 to 1.

    >>> compute_scale_limit(np.array([0.03, -0.12], np.float32))
    0.15
    """
    largest = float(np.abs(maps).max(initial=0.0))
    return next((limit for limit in _ROUND_LIMITS if largest <= limit), 1.0)


def describe_weak_map(drawn: NDArray[np.float32]) -> str:
    """Say that no region matters, where that is so; "" for a map that is strong enough to be shown.

    Args:
        drawn: (row, column), signed change of probability, as drawn.

    >>> describe_weak_map(np.array([[0.02, -0.01]], np.float32))
    'no single region matters (largest change 0.02)'
    >>> describe_weak_map(np.array([[0.3, -0.01]], np.float32))
    ''
    """
    largest = float(np.abs(drawn).max(initial=0.0))
    if largest >= LEAST_CHANGE:
        return ""
    return f"no single region matters (largest change {largest:.2f})"


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
"""Stands in a band on every map of a method that failed a sanity check."""

_INK = (255, 255, 255)
_BAND = (150, 20, 20)
_LEAST_PX = 8
_BAND_SHARE = 0.08
_DIMMED = 0.45


@functools.cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Load DejaVu Sans, which Matplotlib brings along: Pillow's own font has no dash and no minus.

    Args:
        size_px: Of the letters.
    """
    found = importlib.util.find_spec("matplotlib")
    folders = (found.submodule_search_locations if found else None) or ()
    paths = (Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" for folder in folders)
    path = next((path for path in paths if path.is_file()), None)
    return ImageFont.load_default(size_px) if path is None else ImageFont.truetype(path, size_px)


def draw_watermark(picture: NDArray[np.uint8], *, min_side_px: int = 1) -> NDArray[np.uint8]:
    """Draw `FAILED_LABEL` as a band along the upper and the lower edge: the map stays visible.

    Args:
        picture: (row, column, 3).
        min_side_px: A smaller picture is enlarged to this, so that the words can be read.

    Returns:
        (row, column, 3), of the same shape or enlarged; what was given stays as it is.
    """
    scale = max(1.0, min_side_px / max(picture.shape[:2]))
    height, width = (round(scale * length) for length in picture.shape[:2])
    drawn = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    band_px = max(_LEAST_PX + 2, round(_BAND_SHARE * width))
    font = _fit_font(FAILED_LABEL, width_px=width - 6, height_px=band_px)
    pen = ImageDraw.Draw(drawn)
    for top in (0, height - band_px):
        pen.rectangle((0, top, width, top + band_px), fill=_BAND)
        pen.text((width / 2, top + band_px / 2), FAILED_LABEL, fill=_INK, font=font, anchor="mm")
    return np.asarray(drawn)


def draw_words(picture: NDArray[np.uint8], text: str, *, min_side_px: int = 1) -> NDArray[np.uint8]:
    """Write a few words on a dimmed picture, in the place of a map that shows nothing.

    Args:
        picture: (row, column, 3).
        text: Is broken into lines.
        min_side_px: A smaller picture is enlarged to this, so that the words can be read.

    Returns:
        (row, column, 3), of the same shape or enlarged; what was given stays as it is.
    """
    scale = max(1.0, min_side_px / max(picture.shape[:2]))
    height, width = (round(scale * length) for length in picture.shape[:2])
    dimmed = Image.fromarray((picture * _DIMMED).astype(np.uint8))
    drawn = dimmed.resize((width, height), Image.Resampling.BICUBIC)
    font = load_font(max(_LEAST_PX, width // 15))
    ImageDraw.Draw(drawn).multiline_text(
        (width / 2, height / 2),
        textwrap.fill(text, 20),
        fill=_INK,
        font=font,
        anchor="mm",
        align="center",
        spacing=width // 50,
    )
    return np.asarray(drawn)


def _fit_font(
    text: str, *, width_px: int, height_px: int
) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Load the largest font in which one line of text fits; never letters too small to read."""
    for size in range(round(0.7 * height_px), _LEAST_PX, -1):
        if load_font(size).getbbox(text)[2] <= width_px:
            return load_font(size)
    return load_font(_LEAST_PX)
