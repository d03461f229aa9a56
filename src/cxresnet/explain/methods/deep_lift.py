"""DeepLIFT through Captum, made complete on our networks.

DeepLIFT replaces the gradient of each nonlinearity by (change of output) / (change of input), so
that the changes add up. Captum has rules for ReLU, pooling, sigmoid and softmax, but not for a
product of two terms that both change: gate × map. The change of a product is

    x w - x0 w0 = (w + w0)/2 · (x - x0) + (x + x0)/2 · (w - w0)

exactly, so the mean of image and baseline is the multiplier that a product needs. `_Product`
returns it in its backward pass; Captum puts image and baseline into one batch, images first.

Captum's rule for max pooling is not complete either. max(a, b) = a + ReLU(b - a) builds such a
pool from ReLUs, for which the rule is exact.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.methods.gradients import CompletenessMap
from cxresnet.explain.methods.method import GREY, convert_share_to_px, register_method
from cxresnet.model.layers import SqueezeExcite


@final
@register_method
@dataclass(frozen=True)
class DeepLiftMap(CompletenessMap):
    """DeepLIFT (Shrikumar 2017), rescale rule; products are split evenly between their factors."""

    name: ClassVar[str] = "deep_lift"
    title: ClassVar[str] = "DeepLIFT"

    @classmethod
    def from_config(cls, config: ExplainConfig, *, side_px: int) -> Self:
        """Build the method; it is drawn over the same patch as occlusion."""
        return cls(patch_px=convert_share_to_px(config.occlusion_window_share, side_px=side_px))

    @property
    def interpretation(self) -> str:
        """One sentence that says what a value of the map means."""
        return (
            "Probability that each pixel adds compared with a uniform grey (the mean of the "
            "training images), propagated back layer by layer. " + self._describe_completeness()
        )

    def _explain(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        from captum.attr import DeepLift

        # On a copy: products are replaced, and Captum's hooks would outlive an error.
        ours = _Probabilities(copy.deepcopy(model))
        found: Tensor = DeepLift(ours).attribute(
            image, baselines=torch.full_like(image, GREY), target=target
        )
        return found


class _Probabilities(nn.Module):
    """From images to probabilities, with a softmax module that Captum can hook.

    Captum's rule for softmax is complete only if the changes of the logits sum to zero. Their mean
    is subtracted for that; it does not change the softmax.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        _replace_parts(model)
        self.model = model
        self.softmax = nn.Softmax(dim=1)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute (batch, class), 0 to 1."""
        logits = self.model(images)
        probabilities: Tensor = self.softmax(logits - logits.mean(dim=1, keepdim=True))
        return probabilities


class _SharedSqueezeExcite(nn.Module):
    """The same squeeze and excitation, whose product is attributed exactly."""

    def __init__(self, original: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze, self.activation = original.squeeze, original.activation
        self.excite, self.gate = original.excite, original.gate

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, width, h, w)."""
        means = features.mean(dim=(2, 3), keepdim=True)
        weights = self.gate(self.excite(self.activation(self.squeeze(means))))
        product: Tensor = _Product.apply(features, weights)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    """Features × weights; in the backward pass each factor is the mean of image and baseline."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(features, weights)
        return features * weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        features, weights = (_average_halves(factor) for factor in ctx.saved_tensors)
        of_weights = (gradients[0] * features).sum(dim=(2, 3), keepdim=True)
        return gradients[0] * weights, of_weights


def _average_halves(batch: Tensor) -> Tensor:
    """Replace each image and its baseline by the mean of the two."""
    image, baseline = batch.chunk(2)
    return ((image + baseline) / 2).repeat(2, 1, 1, 1)


class _SharedMaxPool(nn.Module):
    """The max pools of our networks (3×3 with padding 1, and 2×2), built from ReLUs."""

    def __init__(self, original: nn.MaxPool2d) -> None:
        super().__init__()
        self.kernel_px, self.stride = _to_side(original.kernel_size), _to_side(original.stride)
        self.steps = nn.ModuleList(nn.ReLU() for _ in range(2 * (self.kernel_px - 1)))

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        # Replicate padding adds no value to a window that it does not hold already.
        before, after = (self.kernel_px - 1) // 2, self.kernel_px // 2
        padded = functional.pad(features, (before, after, before, after), mode="replicate")
        dims = [2, 3] * (self.kernel_px - 1)
        for step, dim in zip(self.steps, dims, strict=True):
            length = padded.shape[dim] - 1
            first, second = padded.narrow(dim, 0, length), padded.narrow(dim, 1, length)
            padded = first + step(second - first)
        return padded[:, :, :: self.stride, :: self.stride]


def _to_side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _replace_parts(model: nn.Module) -> None:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcite):
                setattr(module, name, _SharedSqueezeExcite(child))
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, _SharedMaxPool(child))
