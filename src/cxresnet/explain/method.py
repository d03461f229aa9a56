"""What every method is: one question in, one signed map out, and its unit said aloud."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from cxresnet.core.errors import ConfigError
from cxresnet.explain.mode import require_evaluation_mode
from cxresnet.explain.record import Unit

__all__ = [
    "GREY",
    "GREY_WORDS",
    "AbstractMethod",
    "Question",
    "compute_target_probabilities",
    "find_layer",
]

GREY = 0.0
"""What stands for nothing: after normalisation, 0 is the mean grey of the training films."""

GREY_WORDS = "mean grey of the training films"


@dataclass(frozen=True, eq=False)
class Question:
    """Films, and the class of each whose probability is to be explained.

    Attributes:
        model: From images to logits (batch, class), calibrated; in evaluation mode.
        images: (batch, 1, height, width), float32, normalised; apart from any gradient.
        targets: (batch,), int64; the class explained, for each film.
        lung_masks: (batch, height, width), bool, true in the lungs; empty where they are not
            known. None: of no film.
    """

    model: nn.Module
    images: Tensor
    targets: Tensor
    lung_masks: Tensor | None = None


@dataclass(frozen=True)
class AbstractMethod(ABC):
    """One way to say how much each place of a film holds of the explained class's probability.

    The fields of a method are its parameters, all of them: they are written beside the map.

    Attributes:
        name: Short and stable; the key of the map in `attributions.npz`, and of the config.
        title: For people.
        unit: Of a value of the map, see `record.py`. Only "change of probability" and
            "probability per pixel" lie on the shared scale.
        adds_up: The map sums to p(film) - p(baseline): nothing is left unexplained.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[Unit] = "change of probability"
    adds_up: ClassVar[bool] = False

    @property
    @abstractmethod
    def reading(self) -> str:
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
        """What the film is compared with, in words; "" for nothing."""
        return GREY_WORDS

    @property
    def layer(self) -> str:
        """Which layer is looked at, by name; "" for none, or for the network's last map."""
        return ""

    @property
    def drawn_patch_px(self) -> int | None:
        """Side of the square over which values are added up before they are drawn; None: none."""
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
        """Compute the maps of a batch of films; leaves model and films as they were.

        Args:
            model: From images to logits (batch, class), over the temperature if the probability
                that is reported is to be explained; in evaluation mode. Methods that look at a
                layer need an `explained_layer`.
            images: (batch, 1, height, width), float32, normalised.
            targets: (batch,), int64; the class explained, for each film.
            lung_masks: (batch, height, width), true in the lungs; for methods that ask by regions.

        Returns:
            Signed maps, (batch, height, width), float32, in `unit`; above 0 argues for. Not
            rescaled. The same for the same question: chance is drawn from the method's own seed.

        Raises:
            ModelModeError: The model is training.
            ConfigError: The model has no layer of the name asked for.
        """
        require_evaluation_mode(model)
        question = Question(model, images.detach(), targets, lung_masks)
        return self._compute(question).detach().to(torch.float32)

    @final
    def compute_spread(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        targets: Tensor,
        values: Tensor,
    ) -> Tensor | None:
        """Say how far equally good choices of the method come to different values.

        Args:
            model: As of `attribute`.
            images: As of `attribute`.
            targets: As of `attribute`.
            values: What `attribute` gave.

        Returns:
            (batch, height, width), float32, at least 0: largest less smallest value, in `unit`;
            None where there is only one choice.
        """
        require_evaluation_mode(model)
        return self._compute_spread(Question(model, images.detach(), targets), values)

    def _compute_spread(self, question: Question, values: Tensor) -> Tensor | None:  # noqa: ARG002
        """Compute the spread; most methods have none."""
        return None

    def compute_baseline_probabilities(
        self, model: nn.Module, images: Tensor, *, targets: Tensor
    ) -> Tensor:
        """Compute the probability of the baseline, (batch,): where a map that adds up starts.

        Args:
            model: As of `attribute`.
            images: As of `attribute`.
            targets: As of `attribute`.
        """
        with torch.no_grad():
            return compute_target_probabilities(model, torch.full_like(images, GREY), targets)

    @abstractmethod
    def _compute(self, question: Question) -> Tensor:
        """Compute the maps, (batch, height, width)."""


def compute_target_probabilities(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Compute the probability of each film's own class.

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
    """Find a layer by its name in the network; "" is the network's last map.

    Raises:
        ConfigError: There is none of that name; says which there are.
    """
    if not name:
        layer = getattr(model, "explained_layer", None)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"{type(model).__name__} does not say its explained_layer")
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
