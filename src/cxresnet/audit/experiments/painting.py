"""Paint the lungs out, or all but the border: pure, from images to images.

The outline of the lungs must not be seen in what is painted: a lung full of water is segmented
smaller, and its outline alone would predict the class. So one shape is painted that holds the lungs
of nearly all images, and the border that is kept is the same on all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cxresnet.audit.model import Images
from cxresnet.core.progress import track
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.predict.lungs import load_lung_finder

Masks = NDArray[np.bool_]
"""(images, side, side), true in the lungs; nowhere true where they were not found."""

BORDER_SHARE = 1 / 8
"""Width of the border, as a share of the side."""

_MARGIN_SHARE = 0.05
_SELDOM = 0.02
_OFTEN = 0.05
_AT_ONCE = 64


def gather_lung_masks(images: ImageSet, side_px: int) -> Masks:
    """Gather the lungs of images: the dataset's masks; of images without one, the lung finder's.

    Args:
        images: Of any side.
        side_px: Of the masks; a pixel is lung where any part of it is.

    Returns:
        (images, side, side).
    """
    masks = np.zeros((len(images), side_px, side_px), dtype=np.bool_)
    without = []
    for row in range(len(images)):
        given = images.lung_mask(row)
        if given is None or not given.any():
            without.append(row)
        else:
            masks[row] = _reduce_mask(given > 0, side_px)
    starts = range(0, len(without), _AT_ONCE)
    for start in track(starts, "Finding lungs") if without else ():
        rows = without[start : start + _AT_ONCE]
        batch = np.stack([np.asarray(images.images[row]) for row in rows])
        for row, found in zip(rows, load_lung_finder().find_all(batch), strict=True):
            masks[row] = _reduce_mask(found.mask > 0, side_px)
    return masks


def _reduce_mask(mask: NDArray[np.bool_], side_px: int) -> NDArray[np.bool_]:
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    small = np.asarray(picture.resize((side_px, side_px), Image.Resampling.BOX))
    reduced: NDArray[np.bool_] = small > 0
    return reduced


def find_known(masks: Masks) -> NDArray[np.bool_]:
    """Find the images whose lungs were found, (images,)."""
    return np.array([bool(mask.any()) for mask in masks], dtype=np.bool_)


def find_common_chest(masks: Masks) -> NDArray[np.bool_]:
    """Find the shape that holds the lungs of nearly all images, (side, side).

    Where at least one image in fifty has lung, everything between left and right, and a margin of
    a twentieth of the side around it.

    Args:
        masks: Of training images, (images, side, side); on at least one the lungs were found.
    """
    frequent = masks[find_known(masks)].mean(axis=0) >= _SELDOM
    chest: NDArray[np.bool_] = _widen(fill_rows(frequent[None]))[0]
    return chest


def fill_rows(masks: Masks) -> Masks:
    """Fill each row between its first and its last pixel: the lungs, and what lies between them.

    >>> fill_rows(np.array([[[0, 1, 0, 1, 0]]], dtype=bool)).astype(int).tolist()
    [[[0, 1, 1, 1, 0]]]
    """
    from_left = np.logical_or.accumulate(masks, axis=2)
    from_right = np.logical_or.accumulate(masks[:, :, ::-1], axis=2)[:, :, ::-1]
    filled: Masks = from_left & from_right
    return filled


def paint_lungs_out(
    images: Images, masks: Masks, *, chest: NDArray[np.bool_], grey: int
) -> tuple[Images, Masks]:
    """Paint over both lungs and what lies between them.

    What is painted is the common shape, which says nothing about the image; where the lungs of an
    image reach out of it, their surroundings too.

    Args:
        images: (images, side, side).
        masks: Their lungs.
        chest: Of `find_common_chest`, (side, side).
        grey: Laid over them, 0 to 255.

    Returns:
        The painted images, and where they were painted; both (images, side, side).
    """
    beyond = masks & ~chest
    painted = np.broadcast_to(chest, masks.shape).copy()
    rows = np.flatnonzero(find_known(beyond))
    painted[rows] |= _widen(beyond[rows])
    return np.where(painted, np.uint8(grey), images), painted


def _widen(masks: Masks) -> Masks:
    """Widen each mask by a twentieth of the side."""
    reach = max(1, round(_MARGIN_SHARE * masks.shape[1]))
    square = np.ones((3, 3), dtype=np.bool_)
    widened = [ndimage.binary_dilation(mask, square, iterations=reach) for mask in masks]
    return np.array(widened, dtype=np.bool_).reshape(masks.shape)


def choose_border(masks: Masks) -> NDArray[np.bool_]:
    """Choose the border that is kept, the same for all images, (side, side).

    It is an eighth of the side wide, less the places where lungs often lie: on X-rays that are cut
    close, the border would show lungs.

    Args:
        masks: Of training images, (images, side, side).
    """
    side = masks.shape[1]
    width = round(BORDER_SHARE * side)
    border = np.ones((side, side), dtype=np.bool_)
    border[width : side - width, width : side - width] = False
    known = masks[find_known(masks)]
    often = known.mean(axis=0) > _OFTEN if len(known) else np.zeros_like(border)
    near = ndimage.binary_dilation(often, iterations=max(1, round(side / 48)))
    kept: NDArray[np.bool_] = border & ~near
    return kept


def keep_border(images: Images, border: NDArray[np.bool_], *, grey: int) -> Images:
    """Paint over all but the border.

    Args:
        images: (images, side, side).
        border: What is kept, (side, side).
        grey: Laid over the rest, 0 to 255.
    """
    return np.where(border, images, np.uint8(grey))


# The border in numbers, for a classifier that needs few images.


_FEATURE_SIDE_PX = 32


def describe_border(images: Images, border: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Describe the border of images: its grey levels, and how sharp each quarter of it is.

    Args:
        images: (images, side, side), as prepared.
        border: As of `choose_border`, of any side.

    Returns:
        (images, features): the border's pixels at 32 × 32, 0 to 255, then the mean step between
        neighbouring pixels in each quarter, in grey levels.
    """
    small = _resize_mask(border, _FEATURE_SIDE_PX)
    large = _resize_mask(border, images.shape[1])
    half = images.shape[1] // 2
    parts = [slice(None, half), slice(half, None)]
    rows = []
    for image in images:
        reduced = Image.fromarray(np.asarray(image)).resize(small.shape, Image.Resampling.BOX)
        grey = np.asarray(image, dtype=np.float64)
        steps = np.abs(np.gradient(grey, axis=0)) + np.abs(np.gradient(grey, axis=1))
        sharpness = [
            steps[down, across][large[down, across]].mean() if large[down, across].any() else 0.0
            for down in parts
            for across in parts
        ]
        rows.append(np.concatenate([np.asarray(reduced, dtype=np.float64)[small], sharpness]))
    return np.stack(rows)


def _resize_mask(mask: NDArray[np.bool_], side_px: int) -> NDArray[np.bool_]:
    """Resize a mask; a pixel is in it where all of it is."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    resized: NDArray[np.bool_] = (
        np.asarray(picture.resize((side_px, side_px), Image.Resampling.BOX)) == 255
    )
    return resized
