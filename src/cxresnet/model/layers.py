"""Layers: a blurring pool, a harmonic convolution, squeeze and excitation, stochastic depth."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlurPool(nn.Module):
    """Halve the side after a small blur, so that shifting the image by a pixel changes little.

    Dropping every second pixel folds fine detail into false coarse detail. The blur, binomial
    [1, 2, 1] in both directions, takes that detail away first. Edges are repeated outwards.

    References:
        Zhang 2019, "Making convolutional networks shift-invariant again". Written from the paper.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(line, line).expand(width, 1, 3, 3).clone()
        self.kernel: Tensor
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, width, h, w) to (batch, width, ⌈h/2⌉, ⌈w/2⌉)."""
        padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
        return functional.conv2d(padded, self.kernel, stride=2, groups=self.kernel.shape[0])


def compute_cosine_filters() -> Tensor:
    """Compute the nine 3×3 filters of the two-dimensional cosine transform (DCT-II).

    Returns:
        (9, 3, 3), the flat filter first, then by vertical and horizontal frequency. The absolute
        values of every filter have the same sum, as in Ulicny 2019; the squares of all nine sum to
        9, so that initial spread, learning rate and weight decay of an ordinary convolution fit.
    """
    place = (torch.arange(3, dtype=torch.float64) + 0.5) * math.pi / 3
    waves = torch.cos(torch.outer(torch.arange(3, dtype=torch.float64), place))
    filters = torch.einsum("ix,jy->ijxy", waves, waves).reshape(9, 3, 3)
    filters = filters / filters.abs().sum(dim=(1, 2), keepdim=True)
    scaled: Tensor = filters * (3 / filters.square().sum().sqrt())
    return scaled.float()


class HarmonicConv(nn.Module):
    """A 3×3 convolution whose kernels are learned mixes of nine fixed cosine filters.

    The network learns how much of each frequency to take, not single pixels. With equal absolute
    sums the coarse filters have less energy than the fine ones, so that one step of learning
    changes the response of each frequency to its own strongest pattern alike.

    Filtering and mixing are both linear, so the kernels are put together first and only one
    ordinary convolution runs over the image.

    References:
        Ulicny, Krylov, Dahyot 2019, "Harmonic networks", all nine frequencies, no normalisation
        between filtering and mixing. Written from the paper.
    """

    def __init__(self, in_width: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.filters: Tensor
        self.register_buffer("filters", compute_cosine_filters(), persistent=False)
        self.mixture = nn.Parameter(torch.empty(width, in_width, 9))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the mixture so that activations keep their variance (He 2015)."""
        energy_per_input = 9  # of the nine filters together
        std = math.sqrt(2 / (self.mixture.shape[1] * energy_per_input))
        nn.init.normal_(self.mixture, std=std)

    def compute_kernels(self) -> Tensor:
        """Put the kernels together: (width, in_width, 3, 3)."""
        return torch.einsum("oif,fxy->oixy", self.mixture, self.filters)

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        return functional.conv2d(features, self.compute_kernels(), stride=self.stride, padding=1)


class SqueezeExcite(nn.Module):
    """Weigh each channel by a factor in 0..1 that all channels agree on.

    References:
        Hu et al. 2018, with a sixteenth of the width between, but at least 8.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(8, width // 16)
        self.squeeze = nn.Conv2d(width, narrow, kernel_size=1)
        self.activation = nn.ReLU()
        self.excite = nn.Conv2d(narrow, width, kernel_size=1)
        self.gate = nn.Sigmoid()

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, width, h, w)."""
        means = features.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = self.gate(self.excite(self.activation(self.squeeze(means))))
        return features * weights


class StochasticDepth(nn.Module):
    """Leave a residual branch out for some images of a training step; nothing in evaluation.

    References:
        Huang et al. 2016. What is kept is scaled up at once, so that evaluation needs no scaling.
    """

    def __init__(self, drop_probability: float) -> None:
        super().__init__()
        self.drop_probability = drop_probability

    def forward(self, branch: Tensor) -> Tensor:
        """Keep the shape (batch, width, h, w); dropped images are 0."""
        if not self.training or self.drop_probability == 0:
            return branch
        kept = 1 - self.drop_probability
        chance = torch.full((branch.shape[0], 1, 1, 1), kept, device=branch.device)
        return branch * (torch.bernoulli(chance) / kept).to(branch.dtype)

    def extra_repr(self) -> str:
        """Show the probability where the network is printed."""
        return f"drop_probability={self.drop_probability:.3g}"
