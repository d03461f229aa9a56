"""The methods by name: what `explain.methods` in the config and `--methods` may say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from cxresnet.core.config import ExplainConfig
from cxresnet.core.config.explain import MethodName
from cxresnet.explain.deep_lift import DeepLiftMap
from cxresnet.explain.grad_cam import compute_grad_cam
from cxresnet.explain.gradients import (
    GradientShapMap,
    IntegratedGradientsMap,
    SmoothGradMap,
)
from cxresnet.explain.guided import GuidedBackpropMap, GuidedGradCamMap
from cxresnet.explain.method import AbstractMethod, Question, find_layer
from cxresnet.explain.occlusion import OcclusionMap
from cxresnet.explain.shapley import KernelShapMap, ShapleyRegionsMap

__all__ = ["AbstractMethod", "GradCam", "OcclusionMap", "build_methods"]

_COMPACTNESS = 0.6
"""Of superpixels: seen on films of 128 to 224 px, pieces follow ribs and heart and stay compact."""


@final
@dataclass(frozen=True)
class GradCam(AbstractMethod):
    """Grad-CAM, see `grad_cam.py`.

    Attributes:
        layer_name: Whose output is looked at; "" is the network's last map.
    """

    name: ClassVar[str] = "grad_cam"
    title: ClassVar[str] = "Grad-CAM"

    layer_name: str = ""

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        where = f"layer {self.layer_name}" if self.layer_name else "the network's last map"
        exact = " (to first order)" if self.layer_name else ""
        return (
            f"How much probability is lost when one cell of {where} is set to zero{exact}: "
            "the cell's Grad-CAM shares are taken out of all logits before softmax. "
            "Coarse by nature, and smoothed between cells."
        )

    @property
    def baseline(self) -> str:
        """What the film is compared with."""
        return "a cell of zeros"

    @property
    def layer(self) -> str:
        """Whose output is looked at."""
        return self.layer_name

    def _compute(self, question: Question) -> Tensor:
        layer = find_layer(question.model, self.layer_name)
        return compute_grad_cam(
            question.model, question.images, layer=layer, targets=question.targets
        )


def build_methods(
    names: Sequence[MethodName], config: ExplainConfig, *, side_px: int
) -> tuple[AbstractMethod, ...]:
    """Build methods by name.

    Args:
        names: In the order wanted; `config.methods` for those that the config asks for.
        config: How finely, how often, from which seed.
        side_px: Side of the films.
    """
    return tuple(_BUILDERS[name](config, side_px) for name in names)


def _to_px(share: float, side_px: int) -> int:
    return max(1, round(share * side_px))


_BUILDERS: dict[MethodName, Callable[[ExplainConfig, int], AbstractMethod]] = {
    "occlusion": lambda config, side_px: OcclusionMap(
        window_px=_to_px(config.occlusion_window_share, side_px),
        stride_px=_to_px(config.occlusion_stride_share, side_px),
        covers=config.occlusion_covers,
        coarse_to_fine=config.occlusion_coarse_to_fine,
        seed=config.seed,
        batch_size=config.batch_size,
    ),
    "grad_cam": lambda config, _side_px: GradCam(layer_name=config.grad_cam_layer),
    "guided_grad_cam": lambda config, _side_px: GuidedGradCamMap(layer_name=config.grad_cam_layer),
    "guided_backprop": lambda _config, _side_px: GuidedBackpropMap(),
    "integrated_gradients": lambda config, side_px: IntegratedGradientsMap(
        patch_px=_to_px(config.occlusion_window_share, side_px),
        steps=config.integrated_gradients_steps,
        batch_size=config.batch_size,
    ),
    "smooth_grad": lambda config, _side_px: SmoothGradMap(
        samples=config.gradient_samples,
        noise_sd=config.noise_sd,
        seed=config.seed,
        batch_size=config.batch_size,
    ),
    "gradient_shap": lambda config, side_px: GradientShapMap(
        patch_px=_to_px(config.occlusion_window_share, side_px),
        samples=config.gradient_samples,
        seed=config.seed,
    ),
    "deep_lift": lambda config, side_px: DeepLiftMap(
        patch_px=_to_px(config.occlusion_window_share, side_px)
    ),
    "shapley_regions": lambda config, _side_px: ShapleyRegionsMap(batch_size=config.batch_size),
    "kernel_shap": lambda config, _side_px: KernelShapMap(
        along_side=config.superpixels_along_side,
        compactness=_COMPACTNESS,
        samples=config.superpixel_sets,
        seed=config.seed,
        batch_size=config.batch_size,
    ),
}
