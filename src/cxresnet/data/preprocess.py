"""The one road from a decoded film to the network's film, the same for every class and source.

1. Border: an equal share of each side is cut off (by default none).
2. Fit: the longer side is cropped about its middle until the film is square.
3. Common side: whatever the film's resolution was, it goes through this one, by one interpolation
   (area-weighted triangle, so that reducing does not alias). A large film is averaged over whole
   blocks of pixels before, so that it comes with about as many pixels as a small one.
4. Grey: percentiles of the film itself become black and white.
5. Cache side: the same interpolation again.
6. Grey again: the levels are spread evenly, as far as that raises no contrast by more than a limit;
   then 8 bits.

What a file was (its size, its bits, its sharpness) is lost on this road as far as it can be;
`audit/file_probes.py` measures what is left.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import FilmError
from cxresnet.data.blocks import average_blocks

__all__ = [
    "Preprocessing",
    "build_preprocessing",
    "complete_preprocessing",
    "count_levels",
    "normalise",
    "prepare_film",
    "prepare_mask",
]

_INTERPOLATION = Image.Resampling.BILINEAR
_LEVELS = 256
_PIXELS_A_COMMON_PIXEL = 2
"""A large film is first reduced by whole blocks of pixels, down to no less than this."""

_LEAST_DECODED_SIDE_PX = 256
"""Fingerprints are taken from films of this side and more."""

_LEAST_CONTRAST = 1e-5
"""Of the full scale: less than one level of 16 bits is rounding, not a film."""


class Preprocessing(BaseModel):
    """All that must be known to bring a new film on the same road; travels with the weights.

    Attributes:
        side_px: Side of the prepared film.
        common_side_px: Side that every film goes through first.
        fit: "crop", "pad" or "squash"; see `DataConfig`.
        low_percentile: Becomes black.
        high_percentile: Becomes white.
        border_cut: Share of each side cut off first.
        equalise_limit: Largest factor by which contrast is raised to even out grey levels; 1: off.
        mean: Of the training films, on the scale 0 to 1; None before it is measured.
        sd: Standard deviation of the training films' pixels, on the same scale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    side_px: int = Field(ge=16, le=2048)
    common_side_px: int = Field(ge=16, le=4096)
    fit: Literal["crop", "pad", "squash"]
    low_percentile: float = Field(ge=0, le=40)
    high_percentile: float = Field(ge=60, le=100)
    border_cut: float = Field(ge=0, le=0.2)
    equalise_limit: float = Field(default=1.0, ge=1, le=100)
    mean: float | None = Field(default=None, ge=0, le=1)
    sd: float | None = Field(default=None, gt=0, le=1)

    @property
    def least_side_px(self) -> int:
        """What a film must be decoded at: with more pixels nothing is gained on this road."""
        return max(_PIXELS_A_COMMON_PIXEL * self.common_side_px, _LEAST_DECODED_SIDE_PX)


def build_preprocessing(config: DataConfig) -> Preprocessing:
    """Build the road that a config asks for; mean and sd are measured later."""
    shared = Preprocessing.model_fields.keys() & DataConfig.model_fields.keys()
    return Preprocessing.model_validate(config.model_dump(include=set(shared)))


def prepare_film(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Bring one decoded film on the common road.

    Args:
        pixels: (height, width), 0 to 1.
        preprocessing: The road.

    Returns:
        (side, side), 0 to 255.

    Raises:
        FilmError: "blank": what is left after the border is cut and the film fitted is one grey.
    """
    content = _crop_to_common(pixels, preprocessing)
    percentiles = (preprocessing.low_percentile, preprocessing.high_percentile)
    low, high = np.percentile(content, percentiles)
    if high - low < _LEAST_CONTRAST:
        raise FilmError("blank", "The middle of the film has one grey level only. Leave it out.")
    content = _shrink(np.clip((content - low) / (high - low), 0, 1), preprocessing)
    if preprocessing.equalise_limit > 1:
        content = _equalise(content, limit=preprocessing.equalise_limit)
    return _place(np.rint(content * 255).astype(np.uint8), preprocessing)


def prepare_mask(pixels: NDArray[np.bool_], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Bring a mask on the same road as its film, geometry only.

    Args:
        pixels: (height, width), true inside; of the film's shape or another of the same aspect.
        preprocessing: The road.

    Returns:
        (side, side), 0 outside and 255 inside.
    """
    content = _shrink(_crop_to_common(pixels.astype(np.float32), preprocessing), preprocessing)
    return _place(np.where(content >= 0.5, 255, 0).astype(np.uint8), preprocessing)


def count_levels(films: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count how often each grey level stands in films, (256,)."""
    return np.bincount(films.reshape(-1), minlength=256).astype(np.int64)


def complete_preprocessing(
    preprocessing: Preprocessing, level_counts: NDArray[np.int64]
) -> Preprocessing:
    """Complete a road with mean and sd, exactly, from the grey levels of the training films.

    Args:
        preprocessing: The road; a mean and sd that it has are replaced.
        level_counts: Of all training films, as `count_levels` gives them, (256,).
    """
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=level_counts))
    variance = float(np.average((levels - mean) ** 2, weights=level_counts))
    measured = {"mean": mean, "sd": variance**0.5}
    return Preprocessing.model_validate(preprocessing.model_dump() | measured)


def normalise(films: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Bring prepared films to the scale of the network: mean 0, variance 1 over training films.

    Args:
        films: Any shape, 0 to 255.
        preprocessing: With mean and sd.

    Returns:
        The same shape; values about -3 to 3.

    Raises:
        ValueError: Mean and sd are not measured yet.
    """
    if preprocessing.mean is None or preprocessing.sd is None:
        raise ValueError("mean and sd are not measured; take the preprocessing of a dataset")
    scale = np.float32(1 / (255 * preprocessing.sd))
    return films * scale - np.float32(preprocessing.mean / preprocessing.sd)


def _crop_to_common(
    pixels: NDArray[np.float32], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Cut the border and what does not fit, and bring the rest to the common side."""
    side = preprocessing.common_side_px
    pixels = average_blocks(pixels, least_side_px=_PIXELS_A_COMMON_PIXEL * side)
    height, width = pixels.shape
    left, top = width * preprocessing.border_cut, height * preprocessing.border_cut
    if preprocessing.fit == "crop":
        square = min(width - 2 * left, height - 2 * top)
        left, top = (width - square) / 2, (height - square) / 2
    box = (left, top, width - left, height - top)
    if preprocessing.fit == "pad":
        return _resize(pixels, _fit_inside(box[2] - left, box[3] - top, side=side), box=box)
    return _resize(pixels, (side, side), box=box)


def _shrink(content: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """From the common side to the cache side; a film to be padded keeps its shape."""
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


def _equalise(content: NDArray[np.float32], *, limit: float) -> NDArray[np.float32]:
    """Spread grey levels evenly by one rising curve whose slope is at most `limit`.

    Shares of levels above `limit` - 1 are cut off and given to all levels alike, which adds at most
    1: as in CLAHE (Zuiderveld 1994), but over the whole film, so what is brighter stays brighter.
    """
    levels = np.minimum((content * _LEVELS).astype(np.intp), _LEVELS - 1)
    shares = np.bincount(levels.ravel(), minlength=_LEVELS) * (_LEVELS / content.size)
    kept = np.minimum(shares, limit - 1)
    shares = kept + (shares - kept).sum() / _LEVELS
    curve = np.concatenate(([0.0], np.cumsum(shares)))
    edges = np.linspace(0, 1, _LEVELS + 1)
    even: NDArray[np.float32] = np.interp(content, edges, curve / _LEVELS).astype(np.float32)
    return even


def _place(content: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Lay the content on the middle of a black square; changes nothing unless it is padded."""
    side = preprocessing.side_px
    height, width = content.shape
    square = np.zeros((side, side), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = content
    return square
