"""The methods: each gives a signed map in change of probability, so that all share one scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, final, runtime_checkable

from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.grad_cam import compute_grad_cam
from cxresnet.explain.occlusion import compute_occlusion

__all__ = ["AbstractMethod", "GradCam", "OcclusionMap", "build_methods"]


@runtime_checkable
class _HasExplainedLayer(Protocol):
    explained_layer: nn.Module


class AbstractMethod(ABC):
    """One way to say how much each place of a film holds of the explained class's probability.

    Attributes:
        name: Short and stable; the key of the map in `attributions.npz`.
        title: For people.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @property
    @abstractmethod
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""

    @abstractmethod
    def attribute(self, model: nn.Module, images: Tensor, *, targets: Tensor) -> Tensor:
        """Compute the maps of a batch of films; leaves model and films as they were.

        Args:
            model: From images to logits; in evaluation mode; has an `explained_layer`.
            images: (batch, 1, height, width), float32, normalised.
            targets: (batch,), int64; the class explained, for each film.

        Returns:
            Signed maps, (batch, height, width), float32, change of probability; above 0 argues for.

        Raises:
            ModelModeError: The model is training.
        """


@final
@dataclass(frozen=True)
class OcclusionMap(AbstractMethod):
    """Occlusion, see `occlusion.py`.

    Attributes:
        window_px: Side of the grey patch.
        stride_px: Step of the patch.
        batch_size: Films that go through the network at once.
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion"

    window_px: int
    stride_px: int
    batch_size: int

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            f"How much probability is lost when a patch of {self.window_px} × {self.window_px} px "
            "is covered with the mean grey of the training films (mean over the patches that "
            f"cover the place; step {self.stride_px} px)."
        )

    def attribute(self, model: nn.Module, images: Tensor, *, targets: Tensor) -> Tensor:
        """Compute the maps of a batch of films; see `AbstractMethod.attribute`."""
        return compute_occlusion(
            model,
            images,
            targets=targets,
            window_px=self.window_px,
            stride_px=self.stride_px,
            batch_size=self.batch_size,
        )


@final
@dataclass(frozen=True)
class GradCam(AbstractMethod):
    """Grad-CAM of the network's last map, see `grad_cam.py`."""

    name: ClassVar[str] = "grad_cam"
    title: ClassVar[str] = "Grad-CAM"

    @property
    def reading(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "How much probability is lost when one cell of the network's last map is set to zero: "
            "the cell's Grad-CAM shares are taken out of all logits before softmax. "
            "Coarse by nature, and smoothed between cells."
        )

    def attribute(self, model: nn.Module, images: Tensor, *, targets: Tensor) -> Tensor:
        """Compute the maps of a batch of films; see `AbstractMethod.attribute`."""
        if not isinstance(model, _HasExplainedLayer):
            raise TypeError(f"{type(model).__name__} does not say its explained_layer")
        return compute_grad_cam(model, images, layer=model.explained_layer, targets=targets)


def build_methods(config: ExplainConfig, *, side_px: int) -> tuple[AbstractMethod, ...]:
    """Build the methods that the config asks for.

    Args:
        config: How the network is explained.
        side_px: Side of the films.
    """
    window_px = max(1, round(config.occlusion_window_share * side_px))
    stride_px = max(1, round(config.occlusion_stride_share * side_px))
    return (
        OcclusionMap(window_px=window_px, stride_px=stride_px, batch_size=config.batch_size),
        GradCam(),
    )
