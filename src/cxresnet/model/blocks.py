"""The blocks that stages are made of, each registered under its name where it is defined.

To add a block, write a subclass of `Block` and put `@register_block` above it. The config accepts
its name, and training, the summary, the diagram and the explanations work with it.

Every ReLU is a module of its own, used once a pass, and nothing is changed in place. Captum's
hooks need both; reusing or overwriting would silently give wrong heat maps.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from torch import Tensor, nn

from cxresnet.core.config.model import NormName
from cxresnet.core.errors import ConfigError
from cxresnet.model.architecture import Architecture
from cxresnet.model.layers import BlurPool, HarmonicConv, SqueezeExcite, StochasticDepth


class Block(nn.Module):
    """What every block has in common; its weights are built by its own `__init__`.

    A block is built as `Block(in_width, width, stride=, drop_probability=, architecture=)`. With
    `stride` 2 it halves the side; `drop_probability` is that of stochastic depth.

    Attributes:
        label: Its layers in a few letters, for the diagram.
    """

    label: ClassVar[str] = ""

    @property
    def last_norm(self) -> nn.Module | None:
        """The norm that ends the residual branch and starts at zero, see `CXResNet`; or None."""
        return None

    def describe_fold(self) -> FoldableBlock | None:
        """Describe the block as layers that fast occlusion can fold; None if it cannot.

        A network with a block that cannot be folded is explained by the plain, slower method.
        """
        return None


@dataclass(frozen=True, eq=False)
class FoldableBlock:
    """A block in evaluation as its layers: ReLU(gate(branch) + shortcut), or the branch alone.

    Attributes:
        branch: Layers in the order in which they run: `ConvNorm`, `ReLU`, `BlurPool`, `Identity`,
            or pools.
        gate: Weighs the channels of the branch; None if the block has no gate.
        shortcut: What is added; None if the block has no shortcut.
    """

    branch: tuple[nn.Module, ...]
    gate: SqueezeExcite | None = None
    shortcut: Shortcut | None = None


_BLOCKS: dict[str, type[Block]] = {}

_BlockType = TypeVar("_BlockType", bound=type[Block])


def register_block(name: str, *, label: str) -> Callable[[_BlockType], _BlockType]:
    """Register a block under the name that `model.block` uses.

    Args:
        name: Unique among all blocks.
        label: Its layers in a few letters, for the diagram, for example "3×3 3×3".

    Raises:
        ValueError: Another block has the name.
    """

    def register(block: _BlockType) -> _BlockType:
        if name in _BLOCKS:
            raise ValueError(f"there already is a block '{name}': {_BLOCKS[name].__name__}")
        block.label = label
        _BLOCKS[name] = block
        return block

    return register


def get_block(name: str) -> type[Block]:
    """Get the block that is registered under a name.

    Raises:
        ConfigError: There is none; lists the names that are known.
    """
    if name in _BLOCKS:
        return _BLOCKS[name]
    close = difflib.get_close_matches(name.lower(), _BLOCKS, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise ConfigError(
        f"model.block: there is no block '{name}'.{hint} Known blocks: {', '.join(_BLOCKS)}."
    )


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


@register_block("plain", label="3×3")
class PlainBlock(Block):
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

    def describe_fold(self) -> FoldableBlock:
        """Describe the layers that fast occlusion folds."""
        return FoldableBlock(branch=(self.pool, self.conv, self.activation))


@register_block("basic", label="3×3 3×3")
class BasicBlock(Block):
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

    def describe_fold(self) -> FoldableBlock:
        """Describe the layers that fast occlusion folds."""
        return FoldableBlock(
            branch=(self.conv1, self.activation1, self.blur, self.conv2),
            gate=_get_gate(self.squeeze_excite),
            shortcut=self.shortcut,
        )


@register_block("bottleneck", label="1×1 3×3 1×1")
class BottleneckBlock(Block):
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

    def describe_fold(self) -> FoldableBlock:
        """Describe the layers that fast occlusion folds."""
        return FoldableBlock(
            branch=(
                self.conv1, self.activation1, self.conv2, self.activation2, self.blur, self.conv3,
            ),
            gate=_get_gate(self.squeeze_excite),
            shortcut=self.shortcut,
        )  # fmt: skip


def _get_gate(module: nn.Module) -> SqueezeExcite | None:
    """Get the gate of a block, which has an identity in its place if it has none."""
    return module if isinstance(module, SqueezeExcite) else None
