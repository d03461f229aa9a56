"""Gradient-based methods, computed by Captum on the probability itself.

Explaining the calibrated probability instead of the logit gives the maps a unit: complete ones sum
to p(image) - p(baseline). Where they only approximate an integral, the completeness error is
written beside the map. Captum is imported where it is used: that takes seconds.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor, nn

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods.method import (
    GREY,
    AbstractMethod,
    AttributionInputs,
    compute_target_probabilities,
    convert_share_to_px,
    find_layer,
    register_method,
    temporary_seed,
)
from cxresnet.explain.record import Unit
from cxresnet.predict.decision import fold_for_inference


class ClassProbability(nn.Module):
    """From images to the probability of one class: what Captum differentiates."""

    def __init__(self, model: nn.Module, target: int) -> None:
        super().__init__()
        self.model = model
        self.target = target
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute (batch,), 0 to 1."""
        targets = torch.full((len(images),), self.target, device=images.device)
        return compute_target_probabilities(self.model, images, targets)


class _FoldedNetwork(nn.Module):
    """A network folded for speed: its probabilities and gradients, but none of its layers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.run = fold_for_inference(model)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits, (batch, class)."""
        return self.run(images)


@dataclass(frozen=True)
class PerImageMethod(AbstractMethod):
    """Explains one image at a time, so that memory does not grow with the number of images.

    Attributes:
        needs_layers: Captum hooks the layers of the network; otherwise it only differentiates the
            network, which may be folded for that.
    """

    needs_layers: ClassVar[bool] = True

    @final
    def _compute(self, inputs: AttributionInputs) -> Tensor:
        model = inputs.model if self.needs_layers else _FoldedNetwork(inputs.model)
        maps = []
        for image, target in zip(inputs.images, inputs.targets.tolist(), strict=True):
            with torch.enable_grad(), warnings.catch_warnings():
                # Captum warns that it sets hooks; they are on a copy.
                warnings.filterwarnings("ignore", "Setting .*hooks")
                batch = image[None].clone().requires_grad_()
                found = self._explain(model, batch, target)
            maps.append(found.detach().reshape(image.shape[-2:]))
        return torch.stack(maps)

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        """Compute the map of one image, (1, 1, height, width)."""
        raise NotImplementedError


@dataclass(frozen=True)
class SensitivityMap(PerImageMethod):
    """A map of gradients: the image is not compared with a baseline."""

    @property
    def baseline(self) -> str:
        """A gradient needs none."""
        return ""


@dataclass(frozen=True)
class CompletenessMap(PerImageMethod):
    """A map whose pixels sum to p(image) - p(baseline), the axiom of completeness.

    Attributes:
        patch_px: Side of the square over which the map is summed when it is drawn.
    """

    unit: ClassVar[Unit] = "probability per pixel"
    caption: ClassVar[str] = "contribution of the patch to the probability of {class_name}"
    satisfies_completeness: ClassVar[bool] = True

    patch_px: int

    @property
    def drawn_patch_px(self) -> int | None:
        """Side of the square over which values are summed before they are drawn."""
        return self.patch_px

    def _describe_completeness(self) -> str:
        return (
            "All pixels sum to the probability of the image minus that of the baseline. The figure "
            f"shows the sum over a patch of {self.patch_px} × {self.patch_px} px around each pixel."
        )


@final
@register_method
@dataclass(frozen=True)
class IntegratedGradientsMap(CompletenessMap):
    """Integrated Gradients (Sundararajan 2017): gradients along the path from grey to the image.

    Attributes:
        steps: Points of the path, of a Gauss-Legendre rule.
        batch_size: Points that go through the network at once.
    """

    name: ClassVar[str] = "integrated_gradients"
    title: ClassVar[str] = "Integrated Gradients"
    needs_layers: ClassVar[bool] = False

    steps: int
    batch_size: int

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:
        """Build the method; it is drawn over the same patch as occlusion."""
        return cls(
            patch_px=convert_share_to_px(config.occlusion_window_share, side_px=side_px),
            steps=config.integrated_gradients_steps,
            batch_size=config.batch_size,
        )

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Probability that each pixel adds along the path from a uniform grey (the mean of the "
            f"training images) to the image, in {self.steps} steps. "
            + self._describe_completeness()
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import IntegratedGradients

        found: Tensor = IntegratedGradients(ClassProbability(model, target)).attribute(
            image,
            baselines=GREY,
            n_steps=self.steps,
            method="gausslegendre",
            internal_batch_size=self.batch_size,
        )
        return found


@final
@register_method
@dataclass(frozen=True)
class GradientShapMap(CompletenessMap):
    """GradientSHAP (Lundberg 2017): gradients at random points between baselines and image.

    Attributes:
        samples: Random points.
        seed: Of the points.
    """

    name: ClassVar[str] = "gradient_shap"
    title: ClassVar[str] = "GradientSHAP"
    needs_layers: ClassVar[bool] = False

    samples: int
    seed: int

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:
        """Build the method; it is drawn over the same patch as occlusion."""
        return cls(
            patch_px=convert_share_to_px(config.occlusion_window_share, side_px=side_px),
            samples=config.gradient_samples,
            seed=config.seed,
        )

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            f"Probability that each pixel adds, averaged over {self.samples} random points between "
            "the image and uniform images from dark to bright; complete only in expectation. "
            + self._describe_completeness()
        )

    @property
    def baseline(self) -> str:
        """What the image is compared with."""
        return "five uniform images, from 1 SD darker to 1 SD brighter than the training images"

    def compute_baseline_probabilities(
        self, model: nn.Module, images: Tensor, *, targets: Tensor
    ) -> Tensor:
        """Compute the mean probability over the baselines, (batch,)."""
        greys = _build_uniform_images(images[:1])
        with torch.no_grad():
            probabilities: Tensor = model(greys).softmax(dim=1)
        return probabilities.mean(dim=0)[targets]

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import GradientShap

        with temporary_seed(self.seed):
            found: Tensor = GradientShap(ClassProbability(model, target)).attribute(
                image, baselines=_build_uniform_images(image), n_samples=self.samples
            )
        return found


def _build_uniform_images(image: Tensor) -> Tensor:
    """Build (5, 1, height, width): uniform images, in standard deviations from the mean grey."""
    greys = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], device=image.device) + GREY
    return greys[:, None, None, None].expand(5, *image.shape[1:]).clone()


@final
@register_method
@dataclass(frozen=True)
class SmoothGradMap(SensitivityMap):
    """SmoothGrad (Smilkov 2017): the gradient, as the mean over slightly noisy images.

    Attributes:
        samples: Noisy images.
        noise_sd: Of the noise, in standard deviations of the training images' grey.
        seed: Of the noise.
        batch_size: Noisy images that go through the network at once.
    """

    name: ClassVar[str] = "smooth_grad"
    title: ClassVar[str] = "SmoothGrad"
    needs_layers: ClassVar[bool] = False
    unit: ClassVar[Unit] = "change of probability per sd of grey"
    caption: ClassVar[str] = "rise in the probability of {class_name} per SD of brightness"

    samples: int
    noise_sd: float
    seed: int
    batch_size: int

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method with the noise that a config asks for."""
        return cls(
            samples=config.gradient_samples,
            noise_sd=config.noise_sd,
            seed=config.seed,
            batch_size=config.batch_size,
        )

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Rise of the probability if this one pixel became brighter, per standard deviation of "
            f"grey, averaged over {self.samples} slightly noisy images. It shows what the network "
            "is sensitive to, not what it used, and has a scale of its own."
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import NoiseTunnel, Saliency

        with temporary_seed(self.seed):
            found: Tensor = NoiseTunnel(Saliency(ClassProbability(model, target))).attribute(
                image,
                nt_type="smoothgrad",
                nt_samples=self.samples,
                nt_samples_batch_size=min(self.samples, self.batch_size),
                stdevs=self.noise_sd,
                abs=False,
            )
        return found


@final
@register_method
@dataclass(frozen=True)
class GuidedBackpropMap(SensitivityMap):
    """Guided backpropagation (Springenberg 2015), for comparison only.

    It discards negative gradients at every ReLU and so draws much the same edges whatever the
    network has learned (Adebayo 2018; Nie 2018). The sanity checks show this.
    """

    name: ClassVar[str] = "guided_backprop"
    title: ClassVar[str] = "Guided backpropagation"
    unit: ClassVar[Unit] = "no unit"
    caption: ClassVar[str] = "no unit; cannot be compared with the other maps"

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "The gradient with all negative values discarded at each ReLU. The value has no unit; "
            "the map is sharp because it follows edges, not because it is right."
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import GuidedBackprop

        # On a copy: Captum's hooks on the ReLUs would outlive an error.
        found: Tensor = GuidedBackprop(ClassProbability(copy.deepcopy(model), target)).attribute(
            image
        )
        return found


@final
@register_method
@dataclass(frozen=True)
class GuidedGradCamMap(SensitivityMap):
    """Guided Grad-CAM (Selvaraju 2017): Grad-CAM times guided backpropagation.

    Attributes:
        layer_name: Layer of the Grad-CAM; "" is the last feature map.
    """

    name: ClassVar[str] = "guided_grad_cam"
    title: ClassVar[str] = "Guided Grad-CAM"
    unit: ClassVar[Unit] = "no unit"
    caption: ClassVar[str] = "no unit; cannot be compared with the other maps"

    layer_name: str = ""

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:  # noqa: ARG003
        """Build the method for the layer that a config names."""
        return cls(layer_name=config.grad_cam_layer)

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "The positive part of Grad-CAM times guided backpropagation. The value has no unit, "
            "and the fine detail comes from edges."
        )

    @property
    def layer(self) -> str:
        """Layer of the Grad-CAM."""
        return self.layer_name

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import GuidedGradCam

        ours = copy.deepcopy(model)
        layer = find_layer(ours, self.layer_name)
        found: Tensor = GuidedGradCam(ClassProbability(ours, target), layer).attribute(image)
        return found
