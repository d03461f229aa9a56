"""Altered copies of an image: what should not change an answer, and what plants a shortcut.

Every function takes grey levels, (row, column), uint8, and gives a new image of the same shape. At
strength, angle, width or blur 0 it is the same image.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cxresnet.data.phantoms.shortcuts import mark_frame, mark_letter

GreyImage = NDArray[np.uint8]
"""(row, column), 0 to 255."""


@dataclass(frozen=True)
class Alteration:
    """One way to alter an image.

    Attributes:
        name: For people, as what was done: "rotated by 5° to the left".
        change: Alters one image.
    """

    name: str
    change: Callable[[GreyImage], GreyImage]


def rotate(image: GreyImage, degrees: float) -> GreyImage:
    """Rotate about the middle, counterclockwise; what lies outside repeats the edge."""
    turned = ndimage.rotate(
        image.astype(np.float32), degrees, reshape=False, order=1, mode="nearest"
    )
    return _round(turned)


def shift(image: GreyImage, *, down: float = 0.0, across: float = 0.0) -> GreyImage:
    """Shift by whole pixels; what lies outside repeats the edge.

    Args:
        image: The image.
        down: Share of the height, negative for up.
        across: Share of the width to the right of the picture, negative for the left.
    """
    rows, columns = (
        np.clip(np.arange(size) - round(share * size), 0, size - 1)
        for size, share in zip(image.shape, (down, across), strict=True)
    )
    return image[np.ix_(rows, columns)]


def change_tone(image: GreyImage, gamma: float) -> GreyImage:
    """Raise grey levels, as shares of white, to a power: above 1 is darker, below brighter."""
    curve = _round(255 * (np.arange(256) / 255) ** gamma)
    return curve[image]


def resample(image: GreyImage, share: float) -> GreyImage:
    """Reduce to a share of the side, and enlarge again."""
    height, width = image.shape
    small = (max(1, round(share * width)), max(1, round(share * height)))
    reduced = Image.fromarray(image).resize(small, Image.Resampling.BILINEAR)
    return np.asarray(reduced.resize((width, height), Image.Resampling.BILINEAR))


def compress(image: GreyImage, quality: int) -> GreyImage:
    """Store as JPEG of a quality, 1 to 95, and read it back."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def mirror(image: GreyImage) -> GreyImage:
    """Swap left and right."""
    return np.ascontiguousarray(image[:, ::-1])


def paste_letter(image: GreyImage, *, at_right: bool = False, contrast: float = 1.0) -> GreyImage:
    """Paste a letter into an upper corner, as a side marker of lead stands there.

    Args:
        image: Square.
        at_right: Into the right corner of the picture instead of the left one.
        contrast: 0 (not visible) to 1 (white).
    """
    return _whiten(image, mark_letter(image.shape[0], at_right=at_right), contrast)


def add_frame(image: GreyImage, *, contrast: float = 1.0) -> GreyImage:
    """Draw a thin line along the edge, as a scanner or a screenshot leaves it.

    Args:
        image: Square.
        contrast: 0 (not visible) to 1 (white).
    """
    return _whiten(image, mark_frame(image.shape[0]), contrast)


def blur(image: GreyImage, sigma: float) -> GreyImage:
    """Soften by a Gaussian whose sigma is a share of the side."""
    if sigma <= 0:
        return image.copy()
    return _round(
        ndimage.gaussian_filter(image.astype(np.float32), sigma * image.shape[0], mode="nearest")
    )


def add_border(image: GreyImage, width: float, *, level: int) -> GreyImage:
    """Draw over the edge of the image.

    Args:
        image: The image.
        width: Of the border, as a share of each side.
        level: Its grey level, 0 to 255.
    """
    rows, columns = (round(width * size) for size in image.shape)
    framed = np.full_like(image, level)
    inside = np.s_[rows : image.shape[0] - rows, columns : image.shape[1] - columns]
    framed[inside] = image[inside]
    return framed


def _whiten(image: GreyImage, marked: NDArray[np.bool_], contrast: float) -> GreyImage:
    """Bring marked pixels nearer to white."""
    changed = image.copy()
    changed[marked] = _round(image[marked] + contrast * (255.0 - image[marked]))
    return changed


def _round(levels: NDArray[np.floating]) -> GreyImage:
    rounded: GreyImage = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return rounded
