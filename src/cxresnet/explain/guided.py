"""Guided backpropagation, and Grad-CAM times it: sharp pictures that are there to be compared with.

The trust card shows how little of them hangs on what the network has learned.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, final

from captum.attr import GuidedBackprop, GuidedGradCam
from torch import Tensor, nn

from cxresnet.explain.gradients import ProbabilityOf, SlopeMap
from cxresnet.explain.method import find_layer
from cxresnet.explain.record import Unit

__all__ = ["GuidedBackpropMap", "GuidedGradCamMap"]


@final
@dataclass(frozen=True)
class GuidedBackpropMap(SlopeMap):
    """Guided backpropagation (Springenberg 2015), for comparison only.

    It throws negative gradients away at every ReLU, and so draws edges much the same whatever the
    network has learned (Adebayo 2018; Nie 2018). The trust card is there to show it.
    """

    name: ClassVar[str] = "guided_backprop"
    title: ClassVar[str] = "Guided backpropagation"
    unit: ClassVar[Unit] = "no unit"

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "The gradient with everything negative thrown away at each ReLU. The value has no "
            "unit; the picture is sharp because it follows edges, not because it is right."
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        # On a copy: Captum's hooks on the ReLUs would outlive an error.
        found: Tensor = GuidedBackprop(ProbabilityOf(copy.deepcopy(model), target)).attribute(image)
        return found


@final
@dataclass(frozen=True)
class GuidedGradCamMap(SlopeMap):
    """Guided Grad-CAM (Selvaraju 2017): Grad-CAM times guided backpropagation.

    Attributes:
        layer_name: Layer of the Grad-CAM; "" is the network's last map.
    """

    name: ClassVar[str] = "guided_grad_cam"
    title: ClassVar[str] = "Guided Grad-CAM"
    unit: ClassVar[Unit] = "no unit"

    layer_name: str = ""

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Grad-CAM, what argues for the class only, times guided backpropagation. The value "
            "has no unit, and the fine detail comes from edges."
        )

    @property
    def layer(self) -> str:
        """Layer of the Grad-CAM."""
        return self.layer_name

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        ours = copy.deepcopy(model)
        layer = find_layer(ours, self.layer_name)
        found: Tensor = GuidedGradCam(ProbabilityOf(ours, target), layer).attribute(image)
        return found
