"""How much of a map lies in the lungs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["compute_lung_area_share", "compute_lung_share"]


def compute_lung_share(
    attribution: NDArray[np.float32], lung_mask: NDArray[np.uint8]
) -> float | None:
    """Compute the share of a map's weight, for and against alike, that lies in the lungs.

    Args:
        attribution: (row, column), signed.
        lung_mask: (row, column), above 0 in the lungs.

    Returns:
        0 to 1; None where the map is zero everywhere. A map that knows nothing of lungs scores
        about `compute_lung_area_share`.
    """
    weights = np.abs(attribution, dtype=np.float64)
    total = weights.sum()
    return float(weights[lung_mask > 0].sum() / total) if total > 0 else None


def compute_lung_area_share(lung_mask: NDArray[np.uint8]) -> float:
    """Compute the share of the film that is lung, 0 to 1."""
    return float((lung_mask > 0).mean())
