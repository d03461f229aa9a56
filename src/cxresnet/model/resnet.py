"""The network: a stem, stages of blocks, a mean over the map, and a linear head.

    image (batch, 1, h, w) → stem → stage 1 → … → stage n → mean → dropout → head → logits

The parts are in `layers.py` and `blocks.py`; this file puts them together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from cxresnet.core.errors import ConfigError
from cxresnet.model.architecture import Architecture
from cxresnet.model.blocks import Block, ConvNorm, get_block
from cxresnet.model.layers import BlurPool, HarmonicConv

SMALLEST_SIDE_PX = 16
"""Below this side a map would shrink to a single pixel before the last stage."""


class Stem(nn.Sequential):
    """How the one grey channel of an image becomes `stem_width` channels.

    "flat"     3×3                               the size stays
    "pool"     3×3, max pool                     half the side
    "classic"  7×7 stride 2, max pool            a quarter (ResNet)
    "deep"     3×3 stride 2, 3×3, 3×3, max pool  a quarter (ResNet-D): the same view as 7×7 for
                                                 less work and with two more ReLUs between

    With anti-aliasing the max pool looks at every place and a blur then halves; the first strided
    convolution stays, as the image itself is smooth and its full size is expensive.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, stem = architecture.stem_width, architecture.stem
        if stem == "classic":
            self._add_convolution(1, width, kernel_px=7, stride=2, architecture=architecture)
        elif stem == "deep":
            narrow = max(4, width // 2)
            self._add_convolution(1, narrow, stride=2, architecture=architecture)
            self._add_convolution(narrow, narrow, architecture=architecture)
            self._add_convolution(narrow, width, architecture=architecture)
        else:
            self._add_convolution(1, width, architecture=architecture)
        if stem == "pool":
            self.add_module("pool", nn.MaxPool2d(2, ceil_mode=True))
        elif stem in {"classic", "deep"}:
            stride = 1 if architecture.antialias else 2
            self.add_module("pool", nn.MaxPool2d(3, stride=stride, padding=1))
            if architecture.antialias:
                self.add_module("blur", BlurPool(width))

    def _add_convolution(
        self,
        in_width: int,
        width: int,
        *,
        architecture: Architecture,
        kernel_px: int = 3,
        stride: int = 1,
    ) -> None:
        number = len(self) // 2 + 1
        conv = ConvNorm(
            in_width, width, kernel_px=kernel_px, stride=stride, architecture=architecture
        )
        self.add_module(f"conv{number}", conv)
        self.add_module(f"activation{number}", nn.ReLU())


class Stage(nn.Sequential):
    """Blocks of one width in a row; the first block may halve the side."""

    def __init__(
        self,
        in_width: int,
        width: int,
        *,
        stride: int,
        drop_probabilities: Sequence[float],
        architecture: Architecture,
    ) -> None:
        super().__init__()
        build_block = get_block(architecture.block)
        for number, drop_probability in enumerate(drop_probabilities, start=1):
            block = build_block(
                in_width if number == 1 else width,
                width,
                stride=stride if number == 1 else 1,
                drop_probability=drop_probability,
                architecture=architecture,
            )
            self.add_module(f"block{number}", block)


class CXResNet(nn.Module):
    """A residual network for chest X-rays, made of our own modules.

    Takes any side from 16 px on, also odd or unequal ones, and one channel.

    At the start every residual branch ends in a norm of gain zero, so that each block hands its
    input through and the network begins as a shallow one: the signal neither grows nor fades with
    depth, and learning rates that deep networks need for speed do not break them in the first
    steps (Goyal 2017). Convolutions are drawn after He 2015.

    Attributes:
        architecture: Every choice it was built from.
        class_count: Number of logits.
    """

    def __init__(self, architecture: Architecture, *, class_count: int) -> None:
        super().__init__()
        if class_count < 2:
            raise ConfigError(
                f"A network needs at least two classes to choose from; got {class_count}. "
                "Add images of a second class."
            )
        self.architecture = architecture
        self.class_count = class_count
        self.stem = Stem(architecture)
        self.stages = nn.Sequential(_build_stages(architecture))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(architecture.widths[-1], class_count)
        _initialise(self)

    @property
    def target_layer(self) -> nn.Module:
        """The layer whose output is the last map; what Grad-CAM looks at."""
        return self.stages[-1]

    def forward_features(self, images: Tensor) -> Tensor:
        """Compute the last map.

        Args:
            images: (batch, 1, height, width), preprocessed; each side at least 16 px.

        Returns:
            (batch, widths[-1], height / reduction, width / reduction), at least 0.

        Raises:
            ValueError: The images have another shape.
        """
        if images.ndim != 4 or images.shape[1] != 1 or min(images.shape[2:]) < SMALLEST_SIDE_PX:
            raise ValueError(
                f"images must be (batch, 1, height, width) with sides of at least "
                f"{SMALLEST_SIDE_PX} px; got {tuple(images.shape)}"
            )
        last_map: Tensor = self.stages(self.stem(images))
        return last_map

    def forward_head(self, last_map: Tensor) -> Tensor:
        """Compute logits, (batch, class_count), of what `forward_features` gives."""
        pooled = self.pool(last_map).flatten(1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits, (batch, class_count), of images as `forward_features` takes them."""
        return self.forward_head(self.forward_features(images))


def _build_stages(architecture: Architecture) -> OrderedDict[str, nn.Module]:
    total = sum(architecture.depths)
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    in_width, done = architecture.stem_width, 0
    for index, (width, depth) in enumerate(
        zip(architecture.widths, architecture.depths, strict=True)
    ):
        stages[f"stage{index + 1}"] = Stage(
            in_width,
            width,
            stride=1 if index == 0 else 2,
            drop_probabilities=[
                architecture.stochastic_depth * (done + number) / total
                for number in range(1, depth + 1)
            ],
            architecture=architecture,
        )
        in_width, done = width, done + depth
    return stages


def _initialise(network: CXResNet) -> None:
    """Draw the weights; see `CXResNet` for why."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, HarmonicConv):
            module.reset_parameters()
        elif isinstance(module, Block) and module.last_norm is not None:
            nn.init.zeros_(module.last_norm.get_parameter("weight"))
    nn.init.normal_(network.head.weight, std=0.01)
    nn.init.zeros_(network.head.bias)
