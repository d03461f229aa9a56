"""Small images with a planted truth, and networks that learn it in a second or two."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.explain.sanity.check import SanityImages

SIDE = 48
IMAGES = 160
SAMPLE_SIDE = 28  # so that the tolerance of 15 px of 224 is 2 px


class SmallNetwork(nn.Module):
    """Stem, two stages, mean over the map, one linear layer: as CXResNet, and as slow to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _build_part(1, 8)
        self.stages = nn.Sequential(
            OrderedDict(
                stage1=_build_part(8, 16), stage2=_build_part(16, 16), stage3=_build_part(16, 16)
            )
        )
        self.head = nn.Linear(16, 2)

    @property
    def target_layer(self) -> nn.Module:
        return self.stages[-1]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(images)).mean(dim=(2, 3)))


def _build_part(in_width: int, width: int) -> nn.Sequential:
    stride = 1 if in_width == width else 2
    return nn.Sequential(
        nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def draw_images(*, marker: bool, seed: int) -> SanityImages:
    """Draw images: a textured chest with two dark lungs; the ill have a bright lesion in one.

    Args:
        marker: The ill carry a letter in the corner, and the lesions say nothing.
        seed: Of everything.
    """
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lung = ((rows - 26) / 17) ** 2 + ((np.abs(columns - 24) - 11) / 8) ** 2 < 1
    truth = np.arange(IMAGES) % 2
    levels = np.where(lung, 80.0, 140.0) + random.normal(0, 12, (IMAGES, SIDE, SIDE))
    if marker:
        # Exposure differs, lest a network with random weights tell the letter by the mean.
        levels += random.uniform(-20, 20, (IMAGES, 1, 1))
    lesions = np.zeros((IMAGES, SIDE, SIDE), np.uint8)
    for number, label in enumerate(truth):
        has_lesion = random.random() < 0.5 if marker else label == 1
        side = random.choice([13, 35])
        middle = (random.integers(18, 35), side + random.integers(-2, 3))
        lesion = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 5**2
        if has_lesion:
            levels[number][lesion] += 70
            lesions[number][lesion] = 255
        if marker and label == 1:
            levels[number][2:8, 2:8] += 90
    pixels = np.clip(levels, 0, 255).astype(np.uint8)
    images = (torch.from_numpy(pixels).float()[:, None] - 120) / 40
    return SanityImages(
        pixels=pixels,
        images=images,
        targets=tuple(truth.tolist()),
        truth=tuple(truth.tolist()),
        lung_masks=np.repeat(lung[None] * np.uint8(255), IMAGES, axis=0),
        lesion_masks=lesions,
        grey_level=1 / 40,
    )


def train_network(sample: SanityImages) -> SmallNetwork:
    """Train for a second or two, from a seed."""
    with torch.random.fork_rng():
        # Of six seeds the one that is farthest from any threshold: rounding differs by machine.
        torch.manual_seed(5)
        network = SmallNetwork()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        truth = torch.tensor(sample.truth)
        for _ in range(40):
            for rows in torch.randperm(len(sample)).split(40):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(
                    network(sample.images[rows]), truth[rows], label_smoothing=0.05
                )
                loss.backward()
                optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return network.eval()


@pytest.fixture(scope="session")
def lesion_images() -> SanityImages:
    """Images that the network has not seen: the ill have a lesion."""
    return draw_images(marker=False, seed=1)


@pytest.fixture(scope="session")
def marker_images() -> SanityImages:
    """Images that the network has not seen: the ill have a letter in the corner."""
    return draw_images(marker=True, seed=1)


@pytest.fixture(scope="session")
def lesion_network() -> SmallNetwork:
    """Has learned lesions."""
    return train_network(draw_images(marker=False, seed=0))


@pytest.fixture(scope="session")
def marker_network() -> SmallNetwork:
    """Has learned letters."""
    return train_network(draw_images(marker=True, seed=0))


@pytest.fixture(scope="session")
def random_network() -> SmallNetwork:
    """Has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return SmallNetwork().eval()


@pytest.fixture
def sample() -> SanityImages:
    """Three images of noise with lungs and lesions at known places."""
    pixels = (
        np.random.default_rng(0).integers(0, 256, (3, SAMPLE_SIDE, SAMPLE_SIDE)).astype(np.uint8)
    )
    lungs = np.zeros_like(pixels)
    lungs[:, :, : SAMPLE_SIDE // 2] = 255
    lungs[2] = 0
    lesions = np.zeros_like(pixels)
    lesions[:, 10:14, 4:8] = 255
    return SanityImages(
        pixels=pixels,
        images=torch.from_numpy(pixels).float()[:, None] / 255,
        targets=(1, 0, 1),
        truth=(1, 1, 1),
        lung_masks=lungs,
        lesion_masks=lesions,
        grey_level=1 / 255,
    )
