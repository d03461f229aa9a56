"""Noise and seeds: what counts as the same prediction, and how similar maps must stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.explain.methods.method import AbstractMethod, AttributionInputs
from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.map_similarity import build_reference_maps
from cxresnet.explain.sanity.repeatability import NOISE_GREY_LEVELS, measure_noise, measure_seeds


@dataclass(frozen=True)
class ChanceMap(AbstractMethod):
    """Nothing but chance."""

    name: ClassVar[str] = "chance"
    title: ClassVar[str] = "Chance"

    seed: int

    @property
    def interpretation(self) -> str:
        return "Nothing."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        random = torch.Generator().manual_seed(self.seed)
        return torch.randn(inputs.images[:, 0].shape, generator=random)


@dataclass(frozen=True)
class ImageMap(AbstractMethod):
    """The image itself."""

    name: ClassVar[str] = "image"
    title: ClassVar[str] = "Image"

    @property
    def interpretation(self) -> str:
        return "The image."

    def _compute(self, inputs: AttributionInputs) -> Tensor:
        return inputs.images[:, 0]


class Indifferent(nn.Module):
    """Says the same of every image."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2) + torch.tensor([0.0, 1.0])


def test_another_seed_is_asked_of_methods_with_chance_only(sample: SanityImages) -> None:
    method = ChanceMap(seed=1)
    maps = method.attribute(Indifferent().eval(), sample.images, targets=torch.tensor([1, 0, 1]))
    similarity_retained = measure_seeds(
        Indifferent().eval(), method, sample, reference=build_reference_maps(maps.numpy())
    )
    assert similarity_retained is not None
    assert max(np.abs(values).max() for values in similarity_retained.values()) < 0.3
    assert (
        measure_seeds(
            Indifferent().eval(), ImageMap(), sample, reference=build_reference_maps(maps.numpy())
        )
        is None
    )


def test_slight_noise_hardly_moves_a_map_that_is_the_image(sample: SanityImages) -> None:
    maps = sample.images[:, 0].numpy()
    similarity_retained = measure_noise(
        Indifferent().eval(), ImageMap(), sample, reference=build_reference_maps(maps), seed=0
    )
    assert all((values > 0.98).all() for values in similarity_retained.values())


def test_noise_that_turns_the_answer_does_not_count(sample: SanityImages) -> None:
    class Nervous(Indifferent):
        def forward(self, images: Tensor) -> Tensor:
            same = torch.equal(images, sample.images)
            return super().forward(images) * (1 if same else -1)

    maps = sample.images[:, 0].numpy()
    similarity_retained = measure_noise(
        Nervous().eval(), ImageMap(), sample, reference=build_reference_maps(maps), seed=0
    )
    assert all(np.isnan(values).all() for values in similarity_retained.values())


class TwoAnswers(nn.Module):
    """Gives class 1 one probability on known images, and others, in turn, on all other images."""

    def __init__(self, known: Tensor, before: float, *after: float) -> None:
        super().__init__()
        self.known, self.before, self.after = known, before, list(after)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        share = self.before
        if not torch.equal(images, self.known):
            share = self.after[len(self.seen) % len(self.after)]
            self.seen.append(images)
        return torch.tensor([[1 - share, share]]).log().expand(len(images), 2)


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        (0.600, 0.647, True),
        (0.600, 0.655, False),  # the decision stands, but the probability moved by too much
        (0.600, 0.545, False),
        (0.505, 0.495, False),  # the probability hardly moved, but the decision turned
    ],
)
def test_noise_counts_only_where_decision_and_probability_stay(
    sample: SanityImages, before: float, after: float, counts: bool
) -> None:
    maps = sample.images[:, 0].numpy()
    network = TwoAnswers(sample.images, before, after).eval()
    similarity_retained = measure_noise(
        network, ImageMap(), sample, reference=build_reference_maps(maps), seed=0
    )
    assert all(np.isfinite(values).all() == counts for values in similarity_retained.values())


def test_of_two_draws_of_noise_the_one_that_counts_is_enough(sample: SanityImages) -> None:
    maps = sample.images[:, 0].numpy()
    for after in ((0.9, 0.6), (0.6, 0.9)):
        network = TwoAnswers(sample.images, 0.6, *after).eval()
        similarity_retained = measure_noise(
            network, ImageMap(), sample, reference=build_reference_maps(maps), seed=0
        )
        assert all((values > 0.98).all() for values in similarity_retained.values())


def test_noise_is_two_grey_levels_and_drawn_anew(sample: SanityImages) -> None:
    network = TwoAnswers(sample.images, 0.6, 0.6).eval()
    reference = build_reference_maps(sample.images[:, 0].numpy())
    measure_noise(network, ImageMap(), sample, reference=reference, seed=0)
    first, second = (seen - sample.images for seen in network.seen)
    for noise in (first, second):
        assert float(noise.std()) == pytest.approx(NOISE_GREY_LEVELS * sample.grey_level, rel=0.05)
    assert not torch.allclose(first, second)
