"""One map over its film, as every section shows it: on its scale, and marked where it failed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.overlay import draw_overlay
from cxresnet.explain.record import Attributions, MethodRecord
from cxresnet.explain.watermark import draw_watermark
from cxresnet.report.images import build_data_address, paint_outline

__all__ = ["build_map_address"]


def build_map_address(
    attributions: Attributions,
    method: MethodRecord,
    row: int,
    *,
    side_px: int,
    outline: NDArray[np.bool_] | None = None,
) -> str:
    """Draw a map, and mark it if the method failed its trust card.

    Args:
        attributions: The maps.
        method: Which of them.
        row: Which film.
        side_px: A larger picture is reduced to this side, a marked smaller one is enlarged to it.
        outline: (row, column), painted white.

    Returns:
        A `data:` address.
    """
    picture = draw_overlay(
        attributions.films[row],
        attributions.compute_drawn(method, row),
        scale_limit=attributions.get_scale_limit(method),
    )
    if outline is not None:
        picture = paint_outline(picture, outline)
    if method.distrusted:
        picture = draw_watermark(picture, least_side_px=side_px)
    return build_data_address(picture, largest_side_px=side_px)
