"""Lung masks and a common frame for all lungs: twelve zones, and the rest of the image.

Each lung is cut by its own height into thirds, and each of its rows into halves: the inner half
lies beside heart and spine, the outer one beside the ribs. A zone is therefore the same place of
the lungs on every image, whatever their size, rotation and inspiration. Sides are the patient's:
the right lung lies at the left of the image.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from cxresnet.predict.gate import compute_dice
from cxresnet.predict.lungs import FoundLungs, load_lung_finder

SIDES = ("right", "left")
HEIGHTS = ("upper", "middle", "lower")
DEPTHS = ("inner", "outer")
OUTSIDE = "outside"
ZONE_NAMES = (OUTSIDE, *(" ".join(parts) for parts in itertools.product(SIDES, HEIGHTS, DEPTHS)))
"""Name number i is that of the pixels with value i in a map of zones."""


_WIDE = 0.7
"""Of the widest row: narrower rows at the bottom are the corner beside the diaphragm."""


def split_lungs(mask: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split a mask of both lungs into the patient's right and left lung.

    The two largest pieces are the lungs. Where there is only one piece, the lungs touch, and are
    cut at the column of its middle.

    Args:
        mask: (row, column), above 0 inside.

    Returns:
        Right lung (at the picture's left), left lung; both (row, column).
    """
    labels, count = ndimage.label(mask > 0)
    sizes = np.bincount(labels.ravel())[1:]
    order = np.argsort(sizes)[::-1][:2] + 1
    if count < 2 or sizes[order[1] - 1] < 0.1 * sizes[order[0] - 1]:
        whole = mask > 0
        columns = np.nonzero(whole)[1]
        middle = columns.mean() if columns.size else 0
        at_left = np.arange(mask.shape[1])[None, :] < middle
        return whole & at_left, whole & ~at_left
    lungs = [labels == label for label in order]
    lungs.sort(key=lambda lung: float(np.nonzero(lung)[1].mean()))
    return lungs[0], lungs[1]


def compute_zones(right_lung: NDArray[np.bool_], left_lung: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Number every pixel by its zone.

    Args:
        right_lung: (row, column), true in the patient's right lung, at the picture's left.
        left_lung: The same for the left lung.

    Returns:
        (row, column), an index into `ZONE_NAMES`; 0 outside of the lungs.
    """
    zones = np.zeros(right_lung.shape, np.uint8)
    for side, lung in enumerate((right_lung, left_lung)):
        rows, columns = np.nonzero(lung)
        if not rows.size:
            continue
        top, height = rows.min(), rows.max() - rows.min() + 1
        third = np.minimum((rows - top) * len(HEIGHTS) // height, len(HEIGHTS) - 1)
        middles = _find_row_middles(lung)[rows]
        is_outer = columns < middles if side == 0 else columns > middles
        zones[rows, columns] = 1 + (side * len(HEIGHTS) + third) * len(DEPTHS) + is_outer
    return zones


def _find_row_middles(lung: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Find the middle between a lung's borders in each row; of rows without lung, anything.

    Below the dome of the diaphragm only the outer corner of the lung is left: there the middle of
    the last wide row stays.
    """
    width = lung.shape[1]
    first = lung.argmax(axis=1)
    last = width - 1 - lung[:, ::-1].argmax(axis=1)
    middles: NDArray[np.float64] = (first + last) / 2
    widths = np.where(lung.any(axis=1), last - first + 1, 0)
    lowest_wide = int(np.flatnonzero(widths >= _WIDE * widths.max())[-1])
    middles[lowest_wide:] = middles[lowest_wide]
    return middles


def sum_zones(values: NDArray[np.float64], zones: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Add up values zone by zone: (zones,), in the order of `ZONE_NAMES`."""
    sums = np.bincount(zones.ravel(), weights=values.ravel(), minlength=len(ZONE_NAMES))
    return sums.astype(np.float64)


def describe_zones(names: tuple[str, ...]) -> str:
    """Name one zone, both depths of a third, or one zone of both lungs, for people.

    >>> describe_zones(("right lower outer",))
    "the lower outer zone of the patient's right lung"
    >>> describe_zones(("right lower inner", "right lower outer"))
    "the lower third of the patient's right lung"
    >>> describe_zones(("right lower outer", "left lower outer"))
    'the lower outer zones of both lungs'
    """
    if names == (OUTSIDE,):
        return "the part of the image outside the lungs"
    sides = {name.split(" ", 1)[0] for name in names}
    side, height, depth = names[0].split(" ")
    if len(names) == 1:
        return f"the {height} {depth} zone of the patient's {side} lung"
    if len(sides) == 1:
        return f"the {height} third of the patient's {side} lung"
    return f"the {height} {depth} zones of both lungs"


def compute_lung_share(
    attribution: NDArray[np.float32], lung_mask: NDArray[np.uint8]
) -> float | None:
    """Compute the share of a map's absolute weight that lies in the lungs.

    Args:
        attribution: (row, column), signed.
        lung_mask: (row, column), above 0 in the lungs.

    Returns:
        0 to 1; None where the map is zero everywhere. The expected share of a map that ignores
        the lungs is `compute_lung_area_share`.
    """
    weights = np.abs(attribution, dtype=np.float64)
    total = weights.sum()
    return float(weights[lung_mask > 0].sum() / total) if total > 0 else None


def compute_lung_area_share(lung_mask: NDArray[np.uint8]) -> float:
    """Compute the share of the image that is lung, 0 to 1."""
    return float((lung_mask > 0).mean())


# A schematic pair of lungs to draw numbers on; it is not from a patient.

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


# Each image is measured with its dataset's lung mask, else with that of the lung finder.

LungSource = Literal["dataset", "lung finder", "none"]

_MIN_DICE = 0.75
"""Two masks of the same lungs that agree less: one of them is wrong."""


@dataclass(frozen=True, eq=False)
class ImageLungs:
    """The lungs of one image.

    Attributes:
        right_lung: (row, column), true in the patient's right lung, at the picture's left.
        left_lung: The same for the left lung. Both are empty where no reliable mask exists.
        source: Where they come from.
        note: A caveat, one sentence; "" if there is none.
    """

    right_lung: NDArray[np.bool_]
    left_lung: NDArray[np.bool_]
    source: LungSource
    note: str = ""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Both lungs, (row, column), 255 inside and 0 outside."""
        return (self.right_lung | self.left_lung).astype(np.uint8) * 255


def choose_lungs(image: NDArray[np.uint8], given: NDArray[np.uint8] | None) -> ImageLungs:
    """Take the dataset's mask of an image, else that of the lung finder.

    The lung finder runs in both cases: where the two masks disagree, the note says so, as masks of
    public datasets do not always lie where the lungs are.

    Args:
        image: (row, column), as prepared.
        given: Mask of the dataset, (row, column), above 0 inside; None or empty if there is none.
    """
    found = load_lung_finder().find(image)
    if given is not None and given.any():
        right, left = split_lungs(given)
        return ImageLungs(right, left, "dataset", _compare(given > 0, found))
    if found.refusal:
        nothing = np.zeros(image.shape, np.bool_)
        return ImageLungs(nothing, nothing, "none", found.refusal)
    return ImageLungs(found.right_lung, found.left_lung, "lung finder")


def _compare(given: NDArray[np.bool_], found: FoundLungs) -> str:
    dice = compute_dice(given, found.mask > 0)
    if found.refusal or dice >= _MIN_DICE:
        return ""
    return (
        f"The dataset's lung mask and that of the lung finder disagree (Dice {dice:.2f}); one of "
        "them is wrong. The dataset's mask is used."
    )
