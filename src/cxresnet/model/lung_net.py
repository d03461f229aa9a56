"""The lung finder's network: a small U-Net that predicts for each pixel whether it is lung.

image (batch, 1, 128, 128) → fold 2×2 → down, down, down → up, up, up → unfold → two maps of logits

The first map is the lung on the left of the image (the patient's right lung), the second the one on
the right. All work is done at half the side: pixels are folded into channels and back, so that
borders stay sharp at a quarter of the cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LUNG_SIDE_PX = 128
"""Side of the images that the shipped weights were trained on."""

_DEEPEST_REDUCTION = 16


class _DoubleConv(nn.Sequential):
    """Twice a 3×3 convolution with batch norm and ReLU; the size stays."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        for number, given in enumerate((in_width, width), start=1):
            conv = nn.Conv2d(given, width, kernel_size=3, padding=1, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"norm{number}", nn.BatchNorm2d(width))
            self.add_module(f"activation{number}", nn.ReLU())


class LungNet(nn.Module):
    """A small U-Net for lungs, made of our own modules.

    Attributes:
        widths: Channels at a half, a quarter, an eighth and a sixteenth of the image's side.

    References:
        Ronneberger, Fischer, Brox 2015, "U-Net". Ours pads instead of cropping, enlarges by
        interpolation, has batch norm, and folds pixels at both ends (Shi et al. 2016).
    """

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 48, 64)) -> None:
        super().__init__()
        self.widths = widths
        first, second, third, fourth = widths
        self.fold = nn.PixelUnshuffle(2)
        self.down1 = _DoubleConv(4, first)
        self.down2 = _DoubleConv(first, second)
        self.down3 = _DoubleConv(second, third)
        self.bottom = _DoubleConv(third, fourth)
        self.up3 = _DoubleConv(fourth + third, third)
        self.up2 = _DoubleConv(third + second, second)
        self.up1 = _DoubleConv(second + first, first)
        self.head = nn.Conv2d(first, 2 * 4, kernel_size=1)
        self.unfold = nn.PixelShuffle(2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits of both lungs.

        Args:
            inputs: (batch, 1, height, width), each of mean 0 and standard deviation 1; sides are
                multiples of 16 px.

        Returns:
            (batch, 2, height, width): lung at the picture's left, lung at its right.

        Raises:
            ValueError: The images have another shape.
        """
        sides = inputs.shape[2:]
        if (
            inputs.ndim != 4
            or inputs.shape[1] != 1
            or any(side % _DEEPEST_REDUCTION for side in sides)
        ):
            raise ValueError(
                "images must be (batch, 1, height, width) with sides that are multiples of "
                f"{_DEEPEST_REDUCTION} px; got {tuple(inputs.shape)}"
            )
        half, quarter, eighth, deep = self._encode(inputs)
        deep = self.up3(_join(deep, eighth))
        deep = self.up2(_join(deep, quarter))
        deep = self.up1(_join(deep, half))
        logits: Tensor = self.unfold(self.head(deep))
        return logits

    def forward_features(self, inputs: Tensor) -> Tensor:
        """Compute one vector an image: means of the three deeper maps, and of their quarters.

        Args:
            inputs: As of `forward`.

        Returns:
            (batch, 5 × the sum of the three last `widths`).
        """
        _, *maps = self._encode(inputs)
        means = [
            part
            for found in maps
            for part in (
                found.mean(dim=(2, 3)),
                functional.adaptive_avg_pool2d(found, 2).flatten(1),
            )
        ]
        return torch.cat(means, dim=1)

    def _encode(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        half = self.down1(self.fold(inputs))
        quarter = self.down2(_halve(half))
        eighth = self.down3(_halve(quarter))
        return half, quarter, eighth, self.bottom(_halve(eighth))


def _halve(features: Tensor) -> Tensor:
    return functional.max_pool2d(features, 2)


def _join(deep: Tensor, beside: Tensor) -> Tensor:
    """Enlarge the deeper map, and lay the map of the same size beside it."""
    enlarged = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat((enlarged, beside), dim=1)
