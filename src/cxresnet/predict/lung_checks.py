"""Could this be a pair of lungs? What the lung finder found is doubted before it is believed.

The limits were chosen on films that the network had not seen; `benchmarks/lung_finder.py` says what
they cost (good films refused) and what they catch (films lying on their side, noise, photographs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["LungMeasures", "compute_dice", "explain_refusal", "measure_lungs"]

SMALLEST_AREA_SHARE = 0.06
LARGEST_AREA_SHARE = 0.80
LEAST_BALANCE = 0.30
LEAST_PIECE_SHARE = 0.90
LEAST_COMMON_HEIGHT = 0.50
LEAST_CONFIDENCE = 0.84
LEAST_AGREEMENT = 0.86


@dataclass(frozen=True, kw_only=True)
class LungMeasures:
    """What is measured on a found pair of lungs; all 0 to 1.

    Attributes:
        area_share: Of the film that is lung.
        balance: Area of the smaller lung over that of the larger.
        piece_share: Of the more broken lung, the share that hangs together.
        common_height: Rows that both lungs reach, over the rows of the taller one.
        side_by_side: The lung at the picture's left lies left of the other.
        confidence: The Dice that the network expects of itself: that of its mask with its own
            probabilities. Not calibrated on another hospital.
        agreement: Lowest Dice between the answers to the film mirrored, shifted and enlarged, and
            the mean of all answers.
    """

    area_share: float
    balance: float
    piece_share: float
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
    """Measure what the network answered.

    Args:
        shares: (2, row, column), mean probability of the lung at the picture's left, and right.
        views: (view, 2, row, column), the answers of which `shares` is the mean.
    """
    lungs = np.asarray(shares > 0.5, dtype=np.bool_)
    areas = lungs.sum(axis=(1, 2))
    expected = float(shares.sum() + lungs.sum())
    return LungMeasures(
        area_share=float(lungs.any(axis=0).mean()),
        balance=float(areas.min() / max(1, areas.max())),
        piece_share=min(_measure_largest_piece(lung) for lung in lungs),
        common_height=_measure_common_height(lungs),
        side_by_side=bool(areas.min()) and _find_middle(lungs[0]) < _find_middle(lungs[1]),
        confidence=float(2 * (shares * lungs).sum() / expected) if areas.any() else 0.0,
        agreement=min(compute_dice(view > 0.5, lungs) for view in views) if areas.any() else 0.0,
    )


def explain_refusal(measures: LungMeasures) -> str:
    """Say why these are no lungs to rely on; "" if they are."""
    area, agreement = f"{measures.area_share:.0%}", f"{measures.agreement:.2f}"
    doubts = (
        (measures.area_share < SMALLEST_AREA_SHARE, f"only {area} of the film looks like lung"),
        (measures.area_share > LARGEST_AREA_SHARE, f"{area} of the film looks like lung"),
        (measures.balance < LEAST_BALANCE, "one lung is missing or far smaller than the other"),
        (not measures.side_by_side, "the lungs do not lie side by side"),
        (measures.common_height < LEAST_COMMON_HEIGHT, "the lungs do not lie at one height"),
        (measures.piece_share < LEAST_PIECE_SHARE, "a lung falls into pieces"),
        (
            measures.agreement < LEAST_AGREEMENT,
            f"mirrored or shifted, the film gives other lungs (agreement {agreement})",
        ),
        (
            measures.confidence < LEAST_CONFIDENCE,
            f"the network is not sure (it expects a Dice of {measures.confidence:.2f})",
        ),
    )
    reasons = [reason for is_so, reason in doubts if is_so]
    return f"No lungs to rely on: {reasons[0]}." if reasons else ""


def _measure_largest_piece(lung: NDArray[np.bool_]) -> float:
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
