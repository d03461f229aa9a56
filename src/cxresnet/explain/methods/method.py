"""What every attribution method is: images and classes in, one signed map each out, with a unit.

A method is one class in one file of this package, and registers itself under its name:

    @register_method
    @dataclass(frozen=True)
    class OcclusionMap(AbstractMethod):
        name: ClassVar[str] = "occlusion"

The name is also listed in `MethodName` (core/config/explain.py), so that a config can be checked
before PyTorch is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar, final

import numpy as np
import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.core.config.explain import MethodName
from cxresnet.core.errors import ConfigError, ModelModeError
from cxresnet.explain.record import Unit

GREY = 0.0
"""The neutral baseline: after normalisation, 0 is the mean grey of the training images."""

GREY_DESCRIPTION = "mean grey of the training images"


@dataclass(frozen=True, eq=False)
class AttributionInputs:
    """Images, and for each of them the class whose probability is to be explained.

    Attributes:
        model: From images to calibrated logits (batch, class); in evaluation mode.
        images: (batch, 1, height, width), float32, normalised; detached from any gradient.
        targets: (batch,), int64; the class explained, for each image.
        lung_masks: (batch, height, width), bool, true in the lungs; empty where they are not
            known. None: of no image.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    lung_masks: Tensor | None = None


@dataclass(frozen=True)
class AbstractMethod(ABC):
    """One way to attribute the probability of the explained class to the places of an image.

    The fields of a method are its parameters, all of them: they are written beside the map.

    Attributes:
        name: Short and stable; the key of the map in `attributions.npz` and in the config.
        title: Shown to readers.
        caption: What a value of the drawn map is, short, with a place for the explained class.
        unit: Of a value of the map, see `record.py`. Only "change of probability" and
            "probability per pixel" lie on the shared scale.
        satisfies_completeness: The map sums to p(image) - p(baseline), up to a completeness error.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    caption: ClassVar[str] = "change of the probability of {class_name}"
    unit: ClassVar[Unit] = "change of probability"
    satisfies_completeness: ClassVar[bool] = False

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method with the parameters that a config asks for.

        Methods without parameters need not override this.

        Args:
            config: Window, samples, seed and so on.
            side_px: Side of the images.
        """
        return cls()

    @property
    @abstractmethod
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""

    @property
    def parameters(self) -> dict[str, str | int | float]:
        """Every choice of the method."""
        return {
            name: ", ".join(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @property
    def baseline(self) -> str:
        """What the image is compared with, in words; "" where there is no baseline."""
        return GREY_DESCRIPTION

    @property
    def layer(self) -> str:
        """The layer that is explained, by name; "" for none, or for the last feature map."""
        return ""

    @property
    def drawn_patch_px(self) -> int | None:
        """Side of the square over which values are summed before they are drawn; None: no sum."""
        return None

    @final
    def attribute(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        targets: Tensor,
        lung_masks: Tensor | None = None,
    ) -> Tensor:
        """Compute the maps of a batch of images; leaves model and images as they were.

        Args:
            model: From images to logits (batch, class), calibrated if the reported probability is
                to be explained; in evaluation mode. Methods that explain a layer need its
                `target_layer`.
            images: (batch, 1, height, width), float32, normalised.
            targets: (batch,), int64; the class explained, for each image.
            lung_masks: (batch, height, width), true in the lungs; for methods that use regions.

        Returns:
            Signed maps, (batch, height, width), float32, in `unit`; above 0 argues for. Not
            rescaled. Reproducible: randomness comes from the method's own seed.

        Raises:
            ModelModeError: The model is training.
            ConfigError: The model has no layer of that name.
        """
        require_evaluation_mode(model)
        inputs = AttributionInputs(model, images.detach(), targets, lung_masks)
        return self._compute(inputs).detach().to(torch.float32)

    @final
    def compute_baseline_range(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        targets: Tensor,
        values: Tensor,
    ) -> Tensor | None:
        """Compute the range between equally good baselines, pixel by pixel.

        Args:
            model: As of `attribute`.
            images: As of `attribute`.
            targets: As of `attribute`.
            values: What `attribute` gave.

        Returns:
            (batch, height, width), float32, at least 0: largest less smallest value, in `unit`;
            None where there is only one baseline.
        """
        require_evaluation_mode(model)
        return self._compute_baseline_range(
            AttributionInputs(model, images.detach(), targets), values
        )

    def _compute_baseline_range(self, inputs: AttributionInputs, values: Tensor) -> Tensor | None:  # noqa: ARG002
        """Compute the range; most methods have a single baseline and so none."""
        return None

    def compute_baseline_probabilities(
        self, model: nn.Module, images: Tensor, *, targets: Tensor
    ) -> Tensor:
        """Compute the probability of the baseline, (batch,): what a complete map starts from.

        Args:
            model: As of `attribute`.
            images: As of `attribute`.
            targets: As of `attribute`.
        """
        with torch.no_grad():
            return compute_target_probabilities(model, torch.full_like(images, GREY), targets)

    @abstractmethod
    def _compute(self, inputs: AttributionInputs) -> Tensor:
        """Compute the maps, (batch, height, width)."""


_METHODS: dict[str, type[AbstractMethod]] = {}

MethodClass = TypeVar("MethodClass", bound=type[AbstractMethod])


def register_method(method: MethodClass) -> MethodClass:
    """Make a method available under its name; a decorator of the class."""
    _METHODS[method.name] = method
    return method


def list_methods() -> dict[str, type[AbstractMethod]]:
    """List every method of this package by name."""
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_METHODS)


def build_methods(
    names: Sequence[MethodName], config: ExplainConfig, *, side_px: int
) -> tuple[AbstractMethod, ...]:
    """Build methods by name.

    Args:
        names: In the order wanted; `config.methods` for those that the config asks for.
        config: Their parameters.
        side_px: Side of the images.
    """
    methods = list_methods()
    return tuple(methods[name].from_config(config, side_px=side_px) for name in names)


def convert_share_to_px(share: float, *, side_px: int) -> int:
    """Convert a share of the image's side to whole pixels, at least one."""
    return max(1, round(share * side_px))


def require_evaluation_mode(model: nn.Module) -> None:
    """Refuse a network of which any part is in training mode.

    Raises:
        ModelModeError: Call `model.eval()` first.
    """
    if any(module.training for module in model.modules()):
        raise ModelModeError(
            "The network is training, and would explain something other than it predicts; "
            "call model.eval() first."
        )


def compute_target_probabilities(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Compute the probability of each image's own class.

    Args:
        model: From images to logits (batch, class).
        images: (batch, 1, height, width).
        targets: (batch,), int64.

    Returns:
        (batch,), 0 to 1; can be differentiated.
    """
    logits: Tensor = model(images)
    return logits.softmax(dim=1).gather(1, targets[:, None])[:, 0]


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Find a layer by its name in the network; "" is the last feature map.

    Raises:
        ConfigError: There is no layer of that name; the message lists those that there are.
    """
    if not name:
        layer = getattr(model, "target_layer", None)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"{type(model).__name__} has no target_layer")
        return layer
    inner = dict(model.named_modules()).get("network", model)
    layers = dict(inner.named_modules())
    found: nn.Module | None = layers.get(name)
    if found is None:
        known = [path for path in layers if path.startswith("stages.") and path.count(".") == 1]
        raise ConfigError(
            f"The network has no layer '{name}'. Choose for explain.grad_cam_layer one of: "
            f"{', '.join(known)}."
        )
    return found


@contextlib.contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Seed all random numbers inside the block, and restore the global states afterwards.

    Captum draws from the global states of PyTorch and NumPy, and takes no generator.
    """
    numpy_state = np.random.get_state()  # noqa: NPY002  the state that Captum draws from
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
