"""What is drawn across every map of a method that failed its trust card."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["DISTRUST", "draw_watermark"]

DISTRUST = "not trustworthy for this model"

_INK = (255, 255, 255)
_SHADE = (0, 0, 0)
_LEAST_PX = 8
_LETTERS_ACROSS = 15
_ROW_SHARE = 0.42
_COVER = 235
_LINE = "     ·     ".join([DISTRUST] * 3)


def draw_watermark(picture: NDArray[np.uint8], *, least_side_px: int = 1) -> NDArray[np.uint8]:
    """Draw the words across a picture, from corner to corner, so that no crop loses them.

    Args:
        picture: (row, column, 3).
        least_side_px: A smaller picture is enlarged to this, so that the words can be read.

    Returns:
        (row, column, 3), of the same shape or enlarged; what was given stays as it is.
    """
    scale = max(1.0, least_side_px / max(picture.shape[:2]))
    height, width = (round(scale * length) for length in picture.shape[:2])
    font = ImageFont.load_default(max(_LEAST_PX, round(width / _LETTERS_ACROSS)))
    words, halo = (Image.new("L", (2 * width, 2 * height), 0) for _ in range(2))
    for row in (-1, 0, 1):
        # The middle row shows the words whole; the others begin elsewhere.
        place = (width + row * width // 2, height + round(row * _ROW_SHARE * height))
        for mask, stroke in ((words, 0), (halo, 2)):
            pen = ImageDraw.Draw(mask)
            pen.text(place, _LINE, fill=_COVER, font=font, anchor="mm", stroke_width=stroke)
    box = (width // 2, height // 2, width // 2 + width, height // 2 + height)
    drawn = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    for mask, colour in ((halo, _SHADE), (words, _INK)):
        turned = mask.rotate(30, resample=Image.Resampling.BICUBIC).crop(box)
        drawn.paste(Image.new("RGB", drawn.size, colour), mask=turned)
    return np.asarray(drawn)
