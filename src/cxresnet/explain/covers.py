"""What stands in a part of a film that is covered.

There is no neutral cover: an even grey is an edge of its own, and in a dark lung an opacity of its
own; a blur leaves the coarse picture; noise may look like a texture. The cleared film asks what the
network would say if the opacity were not there, and it is the cover that points at drawn lesions
(docs/experiments.md). It cannot take away what is dark, such as air beside a lung.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cxresnet.core.config.explain import CoverName
from cxresnet.explain.method import GREY, GREY_WORDS

__all__ = ["COVER_WORDS", "build_cover"]

COVER_WORDS: dict[CoverName, str] = {
    "clear": "the film itself, cleared of what is bright and smaller than the patch",
    "blur": "the film itself, blurred",
    "mean": GREY_WORDS,
    "noise": "noise with the mean and spread of the training films",
}
"""What each cover is, to stand behind "covered with"."""

_OPENING = 3 / 4
"""Side of the grey opening, in sides of the patch; see docs/experiments.md for others."""

_BLUR_SD = 1 / 4
"""Standard deviation of the blur, in sides of the patch. More blur leaks grey from around the lungs
into them, and then points less well (docs/experiments.md)."""


def build_cover(name: CoverName, image: Tensor, *, window_px: int, seed: int) -> Tensor:
    """Build what stands in a patch when it is covered.

    Args:
        name: "clear": the film after a grey opening, which takes away what is bright and narrower
            than three quarters of the patch, then blurred. "blur": the film, blurred so far that
            little of half a patch's size is left. "mean": `GREY`. "noise": normal, sd 1 as of the
            training films.
        image: (1, height, width), normalised.
        window_px: Side of the patch.
        seed: Of the noise.

    Returns:
        (1, height, width).
    """
    if name == "mean":
        return torch.full_like(image, GREY)
    if name == "noise":
        # Drawn on the CPU, so that it is the same on every device.
        chance = torch.Generator().manual_seed(seed)
        return torch.randn(image.shape, generator=chance).to(image.device) + GREY
    film = image[0].cpu().numpy()
    changed = _blur(_clear(film, window_px) if name == "clear" else film, window_px)
    return torch.from_numpy(changed)[None].to(image.device)


def _clear(film: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
    side_px = max(3, round(window_px * _OPENING))
    opened: NDArray[np.float32] = ndimage.grey_opening(film, size=(side_px, side_px))
    return opened


def _blur(film: NDArray[np.float32], window_px: int) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        film, window_px * _BLUR_SD, mode="nearest"
    )
    return blurred
