"""Views of an image whose predictions are averaged at test time."""

from __future__ import annotations

import torch
from torch import Tensor


def build_test_time_views() -> tuple[Tensor, ...]:
    """Build the views of an image that are averaged at test time.

    Returns:
        Geometries (2, 3) as `affine_grid` takes them: the image itself, a little larger and
        smaller, and a little to either side. Nothing is mirrored.
    """
    steps = ((1.0, 0.0), (0.94, 0.0), (1.06, 0.0), (1.0, 0.06), (1.0, -0.06))
    return tuple(torch.tensor([[zoom, 0.0, across], [0.0, zoom, 0.0]]) for zoom, across in steps)
