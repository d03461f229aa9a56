"""Grad-CAM, in change of probability: what the last map's cells hold.

Grad-CAM shares a logit out among the cells of the last map. A share of a logit cannot be compared
between films, and not with occlusion. We therefore ask of each cell what occlusion asks of each
patch: how much probability is lost without it? `compute_logit_maps` gives every cell's share of
every logit; `compute_grad_cam` takes one cell's shares out of the logits and sees what softmax
makes of the rest. Where the head is a mean over the map and one linear layer, as in CXResNet, that
is no approximation: it is what the network would say if that cell were zero.
"""

from __future__ import annotations

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cxresnet.explain.mode import require_evaluation_mode

__all__ = ["compute_grad_cam", "compute_logit_maps"]


def compute_grad_cam(
    model: nn.Module, images: Tensor, *, layer: nn.Module, targets: Tensor
) -> Tensor:
    """Measure how much probability each cell of the last map holds.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised.
        layer: The module whose output is explained: (batch, channel, cell row, cell column).
        targets: (batch,), int64; the class explained, for each film.

    Returns:
        Signed map, (batch, height, width), float32, change of probability, -1 to 1; above 0 argues
        for. Between the middles of the cells it is interpolated (bilinear).

    Raises:
        ModelModeError: The model is training.

    References:
        Selvaraju et al. 2017, eq. 1 and 2. We keep the sign (the paper applies a ReLU), and pass
        the maps of all classes through softmax to get from logits to probability.
    """
    maps = compute_logit_maps(model, images, layer=layer)
    with torch.no_grad():
        logits = model(images)
    cells = _compute_probability_lost(maps, logits, targets=targets)
    size = images.shape[-2:]
    upsampled = interpolate(cells.unsqueeze(1), size=size, mode="bilinear", align_corners=False)
    return upsampled.squeeze(1).to(torch.float32)


def compute_logit_maps(model: nn.Module, images: Tensor, *, layer: nn.Module) -> Tensor:
    """Compute the plain Grad-CAM map of every class, without ReLU.

    Args:
        model: As for `compute_grad_cam`.
        images: As for `compute_grad_cam`.
        layer: As for `compute_grad_cam`.

    Returns:
        (batch, class, cell row, cell column), change of logit: to first order, what the logit of
        the class loses if the cell becomes zero.

    Raises:
        ModelModeError: The model is training.
    """
    require_evaluation_mode(model)
    with torch.no_grad():
        class_count = model(images[:1]).shape[1]
    method = LayerGradCam(model, layer)
    # A copy: Captum asks for the gradient of what it is given, and the caller's stays untouched.
    inputs = images.detach().clone()
    with torch.enable_grad():
        maps = [method.attribute(inputs, target=target) for target in range(class_count)]
    return torch.cat(maps, dim=1).detach()


def _compute_probability_lost(maps: Tensor, logits: Tensor, *, targets: Tensor) -> Tensor:
    """Take each cell's shares out of all logits, and say what the target's probability loses.

    Args:
        maps: (batch, class, row, column), change of logit.
        logits: (batch, class).
        targets: (batch,).

    Returns:
        (batch, row, column), change of probability.
    """
    chosen = torch.arange(len(targets), device=targets.device), targets
    whole = logits.softmax(dim=1)[chosen]
    without = (logits[:, :, None, None] - maps).softmax(dim=1)[chosen]
    return whole[:, None, None] - without
