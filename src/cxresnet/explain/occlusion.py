"""Occlusion: cover a patch with grey, and see how much probability is lost."""

from __future__ import annotations

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from cxresnet.explain.method import GREY
from cxresnet.explain.mode import require_evaluation_mode

__all__ = ["GREY", "compute_occlusion"]


def compute_occlusion(
    model: nn.Module,
    images: Tensor,
    *,
    targets: Tensor,
    window_px: int,
    stride_px: int,
    batch_size: int = 64,
) -> Tensor:
    """Measure how much probability each place holds, by covering it.

    A pixel's value is the mean, over all patches that cover it, of the probability of the explained
    class with the film as it is, minus the same with the patch covered by `GREY`. Above 0: what
    stands there argues for the class. The last patch of a row is cut at the film's edge.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised.
        targets: (batch,), int64; the class explained, for each film.
        window_px: Side of the patch.
        stride_px: Step of the patch, at most `window_px`.
        batch_size: Films, covered ones included, that go through the network at once.

    Returns:
        Signed map, (batch, height, width), float32, change of probability, -1 to 1. Not rescaled.

    Raises:
        ModelModeError: The model is training.

    References:
        Zeiler and Fergus 2014, section 4.1; computed by Captum's `Occlusion`. They show the
        probability that remains; we show what is lost, so that above 0 argues for.
    """
    require_evaluation_mode(model)

    def compute_probabilities(films: Tensor) -> Tensor:
        logits: Tensor = model(films)
        return logits.softmax(dim=1)

    method = Occlusion(compute_probabilities)
    maps: Tensor = method.attribute(
        images.detach(),
        sliding_window_shapes=(1, window_px, window_px),
        strides=(1, stride_px, stride_px),
        baselines=GREY,
        target=targets,
        perturbations_per_eval=max(1, batch_size // len(images)),
    )
    return maps.detach().squeeze(1).to(torch.float32)
