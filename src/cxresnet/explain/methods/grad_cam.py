"""Grad-CAM in units of probability: how much each cell of the last feature map contributes.

Grad-CAM distributes a logit over the cells of the last feature map. Logits cannot be compared
between images or with occlusion. We therefore measure for each cell what occlusion measures for
each patch: how much probability is lost without it. `compute_logit_maps` gives the contribution of
each cell to every logit; `compute_grad_cam` subtracts one cell's contributions from the logits and
applies softmax to the rest. Where the head is global average pooling and one linear layer, as in
CXResNet, this is exact: it is the output of the network with that cell set to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods.method import (
    AbstractMethod,
    AttributionInputs,
    find_layer,
    register_method,
    require_evaluation_mode,
)


@final
@register_method
@dataclass(frozen=True)
class GradCam(AbstractMethod):
    """Grad-CAM, see above.

    Attributes:
        layer_name: The layer whose output is explained; "" is the last feature map.
    """

    name: ClassVar[str] = "grad_cam"
    title: ClassVar[str] = "Grad-CAM"
    caption: ClassVar[str] = "fall in the probability of {class_name} when the cell is set to zero"

    layer_name: str = ""

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method for the layer that a config names."""
        return cls(layer_name=config.grad_cam_layer)

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        where = f"layer {self.layer_name}" if self.layer_name else "the last feature map"
        exact = " (to first order)" if self.layer_name else ""
        return (
            f"Probability lost when one cell of {where} is set to zero{exact}: the cell's "
            "Grad-CAM contributions are subtracted from all logits before softmax. The map is "
            "coarse by nature and interpolated between cells."
        )

    @property
    def baseline(self) -> str:
        """What the image is compared with."""
        return "a cell of zeros"

    @property
    def layer(self) -> str:
        """The layer whose output is explained."""
        return self.layer_name

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        layer = find_layer(inputs.model, self.layer_name)
        return compute_grad_cam(inputs.model, inputs.images, layer=layer, targets=inputs.targets)


def compute_grad_cam(
    model: nn.Module, images: Tensor, *, layer: nn.Module, targets: Tensor
) -> Tensor:
    """Measure how much probability each cell of a feature map contributes.

    Args:
        model: From images to logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised.
        layer: The module whose output is explained: (batch, channel, cell row, cell column).
        targets: (batch,), int64; the class explained, for each image.

    Returns:
        Signed map, (batch, height, width), float32, change of probability, -1 to 1; above 0 argues
        for. Between the middles of the cells it is interpolated (bilinear).

    Raises:
        ModelModeError: The model is training.

    References:
        Selvaraju et al. 2017, eq. 1 and 2. We keep the sign (the paper applies a ReLU), and pass
        the maps of all classes through softmax to get from logits to probability.
    """
    maps, logits = _compute_maps_and_logits(model, images, layer=layer)
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
    return _compute_maps_and_logits(model, images, layer=layer)[0]


def _compute_maps_and_logits(
    model: nn.Module, images: Tensor, *, layer: nn.Module
) -> tuple[Tensor, Tensor]:
    """Compute `compute_logit_maps`, and the logits, (batch, class), in one pass.

    The gradient starts at the layer, so that nothing before it is differentiated or kept.
    """
    require_evaluation_mode(model)
    held: list[Tensor] = []

    def start_here(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        held.append(output.detach().requires_grad_())
        # A copy, because what follows might overwrite what it is given.
        return held[-1].clone()

    # The hook turns gradients on, and the end of the block restores what was before.
    with torch.no_grad():
        handle = layer.register_forward_hook(start_here)
        try:
            logits: Tensor = model(images.detach())
        finally:
            handle.remove()
        features = held[-1]
        weights = [
            torch.autograd.grad(logit.sum(), features, retain_graph=True)[0].mean(dim=(2, 3))
            for logit in logits.unbind(dim=1)
        ]
    features = features.detach()
    return torch.einsum("kbc,bchw->bkhw", torch.stack(weights), features), logits.detach()


def _compute_probability_lost(maps: Tensor, logits: Tensor, *, targets: Tensor) -> Tensor:
    """Subtract each cell's contributions from all logits, and compute the probability lost.

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
