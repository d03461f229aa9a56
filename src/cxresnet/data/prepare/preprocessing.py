"""The preprocessing pipeline from a decoded image to the network's input, the same for every image.

1. Border: an equal share of each side is cut off (none by default).
2. Resize mode: the longer side is cropped about its middle until the image is square.
3. Common side: every image, whatever its resolution, is resized to this side by one interpolation
   (area-weighted triangle, so that reducing does not alias). A large image is first averaged over
   whole blocks of pixels, so that it has about as many pixels as a small one.
4. Grey levels: percentiles of the image itself become black and white.
5. Cache side: the same interpolation again.
6. Contrast-limited histogram equalisation of the whole image.
7. Where the config asks for it, the power spectrum of a typical image (`spectrum.py`), and the
   histogram equalised once more. Then 8 bits.

The pipeline removes traces of the file (its size, bit depth, sharpness) as far as possible;
`shortcuts/probe.py` measures what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import ImageError
from cxresnet.core.record import Record
from cxresnet.data.decode.block_mean import average_blocks, find_block_size
from cxresnet.data.prepare.spectrum import standardise_spectrum

GreyStep = Callable[[NDArray[np.float32], "Preprocessing"], NDArray[np.float32]]
"""From an image, (height, width), 0 to 1, to the same with other grey levels, also 0 to 1."""

_INTERPOLATION = Image.Resampling.BILINEAR
_LEVELS = 256
_PIXELS_PER_COMMON_PIXEL = 2
"""A large image is first reduced by whole blocks of pixels, down to no less than this."""

_MIN_DECODED_SIDE_PX = 256
"""Fingerprints are taken from images of this side and more."""

_MIN_CONTRAST = 1e-5
"""Of the full scale: less than one level of 16 bits is rounding, not an image."""


class Preprocessing(Record):
    """Everything needed to preprocess a new image in the same way; stored with the weights.

    Attributes:
        side_px: Side of the prepared image.
        common_side_px: Side that every image goes through first.
        resize_mode: "crop", "pad" or "squash"; see `DataConfig`.
        low_percentile: Becomes black.
        high_percentile: Becomes white.
        border_cut: Share of each side cut off first.
        equalisation_clip_limit: Largest factor by which histogram equalisation raises contrast;
            1: off.
        spectrum_strength: How far the power spectrum is brought to the typical one; 0: not at all.
        mean: Of the training images, on the scale 0 to 1; None before it is measured.
        sd: Standard deviation of the training images' pixels, on the same scale.
    """

    side_px: int = Field(ge=16, le=2048)
    common_side_px: int = Field(ge=16, le=4096)
    resize_mode: Literal["crop", "pad", "squash"]
    low_percentile: float = Field(ge=0, le=40)
    high_percentile: float = Field(ge=60, le=100)
    border_cut: float = Field(ge=0, le=0.2)
    equalisation_clip_limit: float = Field(default=1.0, ge=1, le=100)
    spectrum_strength: float = Field(default=0.0, ge=0, le=1)
    mean: float | None = Field(default=None, ge=0, le=1)
    sd: float | None = Field(default=None, gt=0, le=1)

    @property
    def min_side_px(self) -> int:
        """Smallest side to decode an image at; more pixels do not change the result."""
        return max(_PIXELS_PER_COMMON_PIXEL * self.common_side_px, _MIN_DECODED_SIDE_PX)


def build_preprocessing(config: DataConfig) -> Preprocessing:
    """Build the pipeline that a config describes; mean and sd are measured later."""
    shared = Preprocessing.model_fields.keys() & DataConfig.model_fields.keys()
    return Preprocessing.model_validate(config.model_dump(include=set(shared)))


def prepare_image(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Preprocess one decoded image.

    Args:
        pixels: (height, width), 0 to 1.
        preprocessing: The pipeline.

    Returns:
        (side, side), 0 to 255.

    Raises:
        ImageError: "blank": what is left after the border is cut and the image fitted is one grey.
    """
    content = _crop_to_common(pixels, preprocessing)
    percentiles = (preprocessing.low_percentile, preprocessing.high_percentile)
    low, high = np.percentile(content, percentiles)
    if high - low < _MIN_CONTRAST:
        raise ImageError("blank", "The middle of the image has one grey level only. Leave it out.")
    content = _shrink(np.clip((content - low) / (high - low), 0, 1), preprocessing)
    for step in GREY_STEPS:
        content = step(content, preprocessing)
    return _place(np.rint(content * 255).astype(np.uint8), preprocessing)


def prepare_mask(pixels: NDArray[np.bool_], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Preprocess a mask like its image, geometry only.

    Args:
        pixels: (height, width), true inside; of the image's shape or another of the same aspect.
        preprocessing: The pipeline.

    Returns:
        (side, side), 0 outside and 255 inside.
    """
    content = _shrink(_crop_to_common(pixels.astype(np.float32), preprocessing), preprocessing)
    return _place(np.where(content >= 0.5, 255, 0).astype(np.uint8), preprocessing)


def restore_to_source(
    values: NDArray[np.float32], preprocessing: Preprocessing, *, width: int, height: int
) -> NDArray[np.float32]:
    """Lay values of a prepared image back on the pixels of the image that it was made of.

    Args:
        values: (side, side), for example an attribution map.
        preprocessing: The pipeline that prepared the image.
        width: Of the image as stored, in pixels.
        height: Likewise.

    Returns:
        (height, width), interpolated; 0 where the pipeline cut the image off.
    """
    left, top, right, bottom = _find_source_box(width, height, preprocessing)
    content = values
    if preprocessing.resize_mode == "pad":
        columns, rows = _fit_inside(right - left, bottom - top, side=preprocessing.side_px)
        first_row, first_column = (len(values) - rows) // 2, (len(values) - columns) // 2
        content = values[first_row : first_row + rows, first_column : first_column + columns]
    across, down = content.shape[1] / (right - left), content.shape[0] / (bottom - top)
    picture = Image.fromarray(np.ascontiguousarray(content, dtype=np.float32))
    restored = picture.transform(
        (width, height),
        Image.Transform.AFFINE,
        (across, 0, -left * across, 0, down, -top * down),
        _INTERPOLATION,
    )
    return np.asarray(restored, dtype=np.float32)


def count_levels(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count how often each grey level stands in images, (256,)."""
    return np.bincount(images.reshape(-1), minlength=256).astype(np.int64)


def complete_preprocessing(
    preprocessing: Preprocessing, level_counts: NDArray[np.int64]
) -> Preprocessing:
    """Add mean and sd to a pipeline, exact, from the grey levels of the training images.

    Args:
        preprocessing: The pipeline; a mean and sd that it has are replaced.
        level_counts: Of all training images, as `count_levels` gives them, (256,).
    """
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=level_counts))
    variance = float(np.average((levels - mean) ** 2, weights=level_counts))
    measured = {"mean": mean, "sd": variance**0.5}
    return Preprocessing.model_validate(preprocessing.model_dump() | measured)


def normalise(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Bring prepared images to the scale of the network: mean 0, variance 1 over training images.

    Args:
        images: Any shape, 0 to 255.
        preprocessing: With mean and sd.

    Returns:
        The same shape; values about -3 to 3.

    Raises:
        ValueError: Mean and sd are not measured yet.
    """
    if preprocessing.mean is None or preprocessing.sd is None:
        raise ValueError("mean and sd are not measured; take the preprocessing of a dataset")
    scale = np.float32(1 / (255 * preprocessing.sd))
    return images * scale - np.float32(preprocessing.mean / preprocessing.sd)


def _crop_to_common(
    pixels: NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Cut the border and what does not fit, and bring the rest to the common side."""
    side = preprocessing.common_side_px
    pixels = average_blocks(pixels, min_side_px=_PIXELS_PER_COMMON_PIXEL * side)
    height, width = pixels.shape
    box = left, top, right, bottom = _find_box(width, height, preprocessing)
    if preprocessing.resize_mode == "pad":
        return _resize(pixels, _fit_inside(right - left, bottom - top, side=side), box=box)
    return _resize(pixels, (side, side), box=box)


def _find_box(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Find what is kept of an image: left, top, right and bottom, in its pixels."""
    left, top = width * preprocessing.border_cut, height * preprocessing.border_cut
    if preprocessing.resize_mode == "crop":
        square = min(width - 2 * left, height - 2 * top)
        left, top = (width - square) / 2, (height - square) / 2
    return left, top, width - left, height - top


def _find_source_box(
    width: int, height: int, preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Find what is kept, as `_find_box`, of an image that is first reduced by whole blocks."""
    scale = 1
    for least in (
        preprocessing.min_side_px,
        _PIXELS_PER_COMMON_PIXEL * preprocessing.common_side_px,
    ):
        size = find_block_size(height, width, min_side_px=least)
        width, height, scale = width // size, height // size, scale * size
    left, top, right, bottom = _find_box(width, height, preprocessing)
    return left * scale, top * scale, right * scale, bottom * scale


def _shrink(content: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """From the common side to the cache side; an image to be padded keeps its shape."""
    height, width = content.shape
    return _resize(content, _fit_inside(width, height, side=preprocessing.side_px))


def _fit_inside(width: float, height: float, *, side: int) -> tuple[int, int]:
    """Compute width and height of a rectangle of this shape inside a square."""
    longer = max(width, height)
    return max(1, round(side * width / longer)), max(1, round(side * height / longer))


def _resize(
    pixels: NDArray[np.float32],
    size: tuple[int, int],
    *,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    return np.asarray(image.resize(size, _INTERPOLATION, box=box), dtype=np.float32)


def _place(content: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Lay the content on the middle of a black square; changes nothing unless it is padded."""
    side = preprocessing.side_px
    height, width = content.shape
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = content
    return square


def equalise_histogram(
    content: NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Equalise the histogram by one rising curve whose slope is at most `limit`.

    Shares of levels above `limit` - 1 are cut off and given to all levels alike, which adds at most
    1: as in CLAHE (Zuiderveld 1994), but over the whole image, so what is brighter stays brighter.
    """
    limit = preprocessing.equalisation_clip_limit
    if limit <= 1:
        return content
    levels = np.minimum((content * _LEVELS).astype(np.intp), _LEVELS - 1)
    shares = np.bincount(levels.ravel(), minlength=_LEVELS) * (_LEVELS / content.size)
    kept = np.minimum(shares, limit - 1)
    shares = kept + (shares - kept).sum() / _LEVELS
    curve = np.concatenate(([0.0], np.cumsum(shares)))
    edges = np.linspace(0, 1, _LEVELS + 1)
    even: NDArray[np.float32] = np.interp(content, edges, curve / _LEVELS).astype(np.float32)
    return even


def equalise_spectrum(
    content: NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Give the image the power spectrum of a typical one, then equalise its histogram once more."""
    strength = preprocessing.spectrum_strength
    if strength <= 0:
        return content
    return equalise_histogram(standardise_spectrum(content, strength=strength), preprocessing)


GREY_STEPS: list[GreyStep] = [equalise_histogram, equalise_spectrum]
"""Change the grey levels of the prepared image, in this order; add new steps at the end.

A step is a function here, with its settings as a field of the same name in `Preprocessing` (with a
default that leaves it out, for the networks that were trained before) and in `DataConfig`.
"""
