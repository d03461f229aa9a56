"""Plausibility checks of a segmented pair of lungs: implausible ones are refused.

The limits were chosen on images that the network had not seen; `benchmarks/lung_finder.py` measures
their cost (good images refused) and what they catch (images rotated by 90 degrees, noise,
photographs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_AREA_SHARE = 0.06
MAX_AREA_SHARE = 0.80
MIN_BALANCE = 0.30
MIN_LARGEST_COMPONENT_SHARE = 0.90
MIN_COMMON_HEIGHT = 0.50
MIN_CONFIDENCE = 0.84
MIN_AGREEMENT = 0.86


@dataclass(frozen=True, kw_only=True)
class LungMeasures:
    """What is measured on a found pair of lungs; all 0 to 1.

    Attributes:
        area_share: Of the image that is lung.
        balance: Area of the smaller lung over that of the larger.
        largest_component_share: Share of the largest connected component, of the lung where it is
            smaller.
        common_height: Rows that both lungs reach, over the rows of the taller one.
        side_by_side: The lung at the picture's left lies left of the other.
        confidence: Expected Dice: that of the mask with the network's own probabilities. Not
            calibrated on another hospital.
        agreement: Lowest Dice between the masks of the image mirrored, shifted and enlarged, and
            that of the mean of all.
    """

    area_share: float
    balance: float
    largest_component_share: float
    common_height: float
    side_by_side: bool
    confidence: float
    agreement: float


def compute_dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Compute the Dice coefficient of two masks: 1 equal, 0 nothing in common; both empty is 1.

    >>> compute_dice(np.array([True, True, False]), np.array([True, False, False])).__round__(3)
    0.667
    """
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def measure_lungs(shares: NDArray[np.float32], views: NDArray[np.float32]) -> LungMeasures:
    """Measure the segmentation of one image.

    Args:
        shares: (2, row, column), mean probability of the lung at the picture's left, and right.
        views: (view, 2, row, column), the predictions of which `shares` is the mean.
    """
    lungs = np.asarray(shares > 0.5, dtype=np.bool_)
    areas = lungs.sum(axis=(1, 2))
    expected = float(shares.sum() + lungs.sum())
    return LungMeasures(
        area_share=float(lungs.any(axis=0).mean()),
        balance=float(areas.min() / max(1, areas.max())),
        largest_component_share=min(_measure_largest_component(lung) for lung in lungs),
        common_height=_measure_common_height(lungs),
        side_by_side=bool(areas.min()) and _find_middle(lungs[0]) < _find_middle(lungs[1]),
        confidence=float(2 * (shares * lungs).sum() / expected) if areas.any() else 0.0,
        agreement=min(compute_dice(view > 0.5, lungs) for view in views) if areas.any() else 0.0,
    )


def explain_refusal(measures: LungMeasures) -> str:
    """Explain why these lungs are refused; "" if they are not."""
    area, agreement = f"{measures.area_share:.0%}", f"{measures.agreement:.2f}"
    checks = (
        (measures.area_share < MIN_AREA_SHARE, f"only {area} of the image looks like lung"),
        (measures.area_share > MAX_AREA_SHARE, f"{area} of the image looks like lung"),
        (measures.balance < MIN_BALANCE, "one lung is missing or far smaller than the other"),
        (not measures.side_by_side, "the lungs are not side by side"),
        (measures.common_height < MIN_COMMON_HEIGHT, "the lungs are at different heights"),
        (
            measures.largest_component_share < MIN_LARGEST_COMPONENT_SHARE,
            "a lung is split into several pieces",
        ),
        (
            measures.agreement < MIN_AGREEMENT,
            f"mirroring or shifting the image changes the result (agreement {agreement})",
        ),
        (
            measures.confidence < MIN_CONFIDENCE,
            f"the network is not confident (expected Dice {measures.confidence:.2f})",
        ),
    )
    reasons = [reason for is_so, reason in checks if is_so]
    return f"No reliable lungs found: {reasons[0]}." if reasons else ""


def _measure_largest_component(lung: NDArray[np.bool_]) -> float:
    from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to predict

    labels, _ = ndimage.label(lung)
    sizes = np.bincount(labels.ravel())[1:]
    return float(sizes.max() / sizes.sum()) if sizes.size else 0.0


def _measure_common_height(lungs: NDArray[np.bool_]) -> float:
    rows: NDArray[np.bool_] = np.any(lungs, axis=2)
    tallest = int(rows.sum(axis=1).max())
    common = int(rows.all(axis=0).sum())
    return common / tallest if tallest else 0.0


def _find_middle(lung: NDArray[np.bool_]) -> float:
    return float(np.nonzero(lung)[1].mean())
