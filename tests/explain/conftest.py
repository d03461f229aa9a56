"""Networks small enough to be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


class SquareNetwork(nn.Module):
    """Logit of class 1 = 4 × mean of one 8×8 square; logit of class 0 = 0."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images[:, 0, 8:16, 16:24].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(mean), 4 * mean], dim=1)


class TinyNetwork(nn.Module):
    """Convolution, norm, ReLU, mean over the map, one linear layer: as CXResNet ends."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, kernel_size=3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.activation = nn.ReLU()
        self.head = nn.Linear(5, 3)

    @property
    def explained_layer(self) -> nn.Module:
        return self.activation

    def features(self, images: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(images)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean(dim=(2, 3)))


@pytest.fixture
def square_network() -> SquareNetwork:
    return SquareNetwork().eval()


@pytest.fixture
def tiny_network() -> TinyNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = TinyNetwork()
        # Far from even probabilities, so that a mistake in the softmax shows.
        network.head.weight.data.mul_(8)
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(5))
