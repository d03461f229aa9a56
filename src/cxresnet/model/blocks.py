"""The blocks that stages are made of: a convolution with its norm, a shortcut, three blocks.

Every ReLU is a module of its own, used once a pass, and nothing is changed in place. Captum's
hooks need both; reusing or overwriting would silently give wrong heat maps.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from cxresnet.core.config.model import NormName
from cxresnet.model.architecture import Architecture
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite, StochasticDepth

__all__ = [
    "BasicBlock",
    "Block",
    "BottleneckBlock",
    "ConvNorm",
    "PlainBlock",
    "Shortcut",
    "build_norm",
]


class Block(Protocol):
    """Builds a block: `stride` 2 halves the side, `drop_probability` is of stochastic depth."""

    def __call__(
        self,
        in_width: int,
        width: int,
        *,
        stride: int,
        drop_probability: float,
        architecture: Architecture,
    ) -> nn.Module:
        """Build the block."""


def build_norm(width: int, norm: NormName) -> nn.Module:
    """Build what normalises `width` channels; groups are of 8 channels where that divides."""
    if norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.GroupNorm(width // 8 if width % 8 == 0 else 1, width)


class ConvNorm(nn.Module):
    """A convolution and its norm; the norm has the bias, so the convolution needs none."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        architecture: Architecture,
        kernel_px: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.convolution: nn.Module
        if architecture.harmonic and kernel_px == 3:
            self.convolution = HarmonicConv(in_width, width, stride=stride)
        else:
            self.convolution = nn.Conv2d(
                in_width, width, kernel_px, stride=stride, padding=kernel_px // 2, bias=False
            )
        self.norm = build_norm(width, architecture.norm)

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        out: Tensor = self.norm(self.convolution(features))
        return out


class Shortcut(nn.Sequential):
    """What the input goes through before it is added to the branch: nothing, if the shape allows.

    A strided 1×1 convolution looks at one pixel of four. With `average` (ResNet-D, He 2019) or
    `antialias` all four are seen: pool first, then a 1×1 that only changes the width. A blur is
    such a pool, so with both options it is the blur that runs.
    """

    def __init__(
        self, in_width: int, width: int, *, stride: int, architecture: Architecture
    ) -> None:
        super().__init__()
        pooled = stride == 2 and (architecture.antialias or architecture.shortcut == "average")
        if pooled and architecture.antialias:
            self.add_module("pool", BlurPool(in_width))
        elif pooled:
            self.add_module(
                "pool", nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
            )
        if stride == 2 or in_width != width:
            left = 1 if pooled else stride
            projection = ConvNorm(
                in_width, width, kernel_px=1, stride=left, architecture=architecture
            )
            self.add_module("projection", projection)


class PlainBlock(nn.Module):
    """Pool (if it halves), 3×3, norm, ReLU: what a first network is made of. No shortcut."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        stride: int,
        drop_probability: float,  # noqa: ARG002 - nothing to leave out without a shortcut
        architecture: Architecture,
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.conv = ConvNorm(in_width, width, architecture=architecture)
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        out: Tensor = self.activation(self.conv(self.pool(features)))
        return out


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    With anti-aliasing the first convolution keeps the side and a blur halves it after the ReLU,
    as in Zhang 2019; otherwise the first convolution strides.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        stride: int,
        drop_probability: float,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        blurs = stride == 2 and architecture.antialias
        self.conv1 = ConvNorm(
            in_width, width, stride=1 if blurs else stride, architecture=architecture
        )
        self.activation1 = nn.ReLU()
        self.blur = BlurPool(width) if blurs else nn.Identity()
        self.conv2 = ConvNorm(width, width, architecture=architecture)
        self.squeeze_excite = SqueezeExcite(width) if architecture.squeeze_excite else nn.Identity()
        self.stochastic_depth = StochasticDepth(drop_probability)
        self.shortcut = Shortcut(in_width, width, stride=stride, architecture=architecture)
        self.activation2 = nn.ReLU()

    @property
    def last_norm(self) -> nn.Module:
        """The norm that ends the branch; starts at zero, see `CXResNet`."""
        return self.conv2.norm

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        branch = self.blur(self.activation1(self.conv1(features)))
        branch = self.stochastic_depth(self.squeeze_excite(self.conv2(branch)))
        out: Tensor = self.activation2(branch + self.shortcut(features))
        return out


class BottleneckBlock(nn.Module):
    """1×1 to a quarter of the width, 3×3 there, 1×1 back, beside a shortcut.

    The 3×3 strides, not the first 1×1 (ResNet-B, which ResNet-D takes over), so that no pixel is
    skipped; with anti-aliasing a blur after its ReLU halves the side instead.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        stride: int,
        drop_probability: float,
        architecture: Architecture,
    ) -> None:
        super().__init__()
        narrow = width // 4
        blurs = stride == 2 and architecture.antialias
        self.conv1 = ConvNorm(in_width, narrow, kernel_px=1, architecture=architecture)
        self.activation1 = nn.ReLU()
        self.conv2 = ConvNorm(
            narrow, narrow, stride=1 if blurs else stride, architecture=architecture
        )
        self.activation2 = nn.ReLU()
        self.blur = BlurPool(narrow) if blurs else nn.Identity()
        self.conv3 = ConvNorm(narrow, width, kernel_px=1, architecture=architecture)
        self.squeeze_excite = SqueezeExcite(width) if architecture.squeeze_excite else nn.Identity()
        self.stochastic_depth = StochasticDepth(drop_probability)
        self.shortcut = Shortcut(in_width, width, stride=stride, architecture=architecture)
        self.activation3 = nn.ReLU()

    @property
    def last_norm(self) -> nn.Module:
        """The norm that ends the branch; starts at zero, see `CXResNet`."""
        return self.conv3.norm

    def forward(self, features: Tensor) -> Tensor:
        """From (batch, in_width, h, w) to (batch, width, ⌈h/stride⌉, ⌈w/stride⌉)."""
        branch = self.activation1(self.conv1(features))
        branch = self.blur(self.activation2(self.conv2(branch)))
        branch = self.stochastic_depth(self.squeeze_excite(self.conv3(branch)))
        out: Tensor = self.activation3(branch + self.shortcut(features))
        return out
