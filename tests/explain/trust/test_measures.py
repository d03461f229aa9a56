"""Lungs, lesions and seeds: by hand on maps of a few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.explain.method import AbstractMethod, Question
from cxresnet.explain.trust.films import TrustFilms
from cxresnet.explain.trust.likeness import MEASURES, build_own_maps, compute_kept, compute_likeness
from cxresnet.explain.trust.measures import (
    measure_lungs,
    measure_noise,
    measure_pointing,
    measure_seeds,
)

SIDE = 28  # so that the tolerance of 15 px of 224 is 2 px


@dataclass(frozen=True)
class ChanceMap(AbstractMethod):
    """Nothing but chance."""

    name: ClassVar[str] = "chance"
    title: ClassVar[str] = "Chance"

    seed: int

    @property
    def reading(self) -> str:
        return "Nothing."

    def _compute(self, question: Question) -> Tensor:
        random = torch.Generator().manual_seed(self.seed)
        return torch.randn(question.images[:, 0].shape, generator=random)


@dataclass(frozen=True)
class FilmMap(AbstractMethod):
    """The film itself."""

    name: ClassVar[str] = "film"
    title: ClassVar[str] = "Film"

    @property
    def reading(self) -> str:
        return "The film."

    def _compute(self, question: Question) -> Tensor:
        return question.images[:, 0]


class Indifferent(nn.Module):
    """Says the same of every film."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2) + torch.tensor([0.0, 1.0])


@pytest.fixture
def trust() -> TrustFilms:
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE)).astype(np.uint8)
    lungs = np.zeros_like(pixels)
    lungs[:, :, : SIDE // 2] = 255
    lungs[2] = 0
    lesions = np.zeros_like(pixels)
    lesions[:, 10:14, 4:8] = 255
    return TrustFilms(
        films=pixels,
        images=torch.from_numpy(pixels).float()[:, None] / 255,
        targets=(1, 0, 1),
        truth=(1, 1, 1),
        lung_masks=lungs,
        lesion_masks=lesions,
        grey_level=1 / 255,
    )


def _build_maps(row: int, column: int) -> np.ndarray:
    maps = np.zeros((3, SIDE, SIDE), np.float32)
    maps[:, row, column] = 1.0
    return maps


@pytest.mark.parametrize(
    ("row", "column", "hit"), [(10, 4, 1), (13, 9, 1), (13, 10, 0), (7, 4, 0), (20, 20, 0)]
)
def test_a_hit_lies_in_the_lesion_or_two_pixels_off(
    trust: TrustFilms, row: int, column: int, hit: int
) -> None:
    hits, _ = measure_pointing(_build_maps(row, column), trust)
    assert hits[0] == hit


def test_a_film_that_the_network_has_wrong_does_not_count(trust: TrustFilms) -> None:
    hits, chance = measure_pointing(_build_maps(10, 4), trust)
    assert np.isnan([hits[1], chance[1]]).all()
    assert hits[2] == 1


def test_of_equally_high_places_the_share_counts(trust: TrustFilms) -> None:
    maps = _build_maps(10, 4)
    maps[0, 25, 25] = 1.0
    assert measure_pointing(maps, trust)[0][0] == 0.5


def test_chance_points_into_the_lungs_or_into_the_film(trust: TrustFilms) -> None:
    _, chance = measure_pointing(_build_maps(0, 0), trust)
    # Lesion of 4 × 4 px with what lies within 2 px: 8 × 8 less 3 px at each corner = 52 px.
    assert chance[0] == pytest.approx(52 / (SIDE * SIDE / 2))
    assert chance[2] == pytest.approx(52 / SIDE**2)


def test_weight_in_the_lungs_counts_for_and_against(trust: TrustFilms) -> None:
    maps = _build_maps(0, 0)
    maps[:, 5, 20] = -3.0
    shares, areas = measure_lungs(maps, trust)
    assert (shares[0], areas[0]) == (0.25, 0.5)
    assert np.isnan(shares[2])


def test_another_seed_is_asked_of_methods_with_chance_only(trust: TrustFilms) -> None:
    method = ChanceMap(seed=1)
    maps = method.attribute(Indifferent().eval(), trust.images, targets=torch.tensor([1, 0, 1]))
    kept = measure_seeds(Indifferent().eval(), method, trust, own=build_own_maps(maps.numpy()))
    assert kept is not None
    assert max(np.abs(values).max() for values in kept.values()) < 0.3
    assert (
        measure_seeds(Indifferent().eval(), FilmMap(), trust, own=build_own_maps(maps.numpy()))
        is None
    )


def test_slight_noise_hardly_moves_a_map_that_is_the_film(trust: TrustFilms) -> None:
    maps = trust.images[:, 0].numpy()
    kept = measure_noise(Indifferent().eval(), FilmMap(), trust, own=build_own_maps(maps), seed=0)
    assert all((values > 0.98).all() for values in kept.values())


def test_noise_that_turns_the_answer_does_not_count(trust: TrustFilms) -> None:
    class Nervous(Indifferent):
        def forward(self, images: Tensor) -> Tensor:
            same = torch.equal(images, trust.images)
            return super().forward(images) * (1 if same else -1)

    maps = trust.images[:, 0].numpy()
    kept = measure_noise(Nervous().eval(), FilmMap(), trust, own=build_own_maps(maps), seed=0)
    assert all(np.isnan(values).all() for values in kept.values())


def test_the_zero_of_likeness_is_another_films_map() -> None:
    random = np.random.default_rng(0)
    rim = np.pad(np.ones((20, 20)), 4)  # what all maps of the method share
    maps = (rim * (1 + 0.2 * random.random((6, 28, 28)))).astype(np.float32)
    strangers = np.roll(maps, 1, axis=0)
    assert np.abs(compute_kept(build_own_maps(maps), strangers, "absolute")).max() < 0.1
    assert compute_kept(build_own_maps(maps), maps, "absolute") == pytest.approx(np.ones(6))


def test_a_map_that_became_empty_has_lost_everything() -> None:
    maps = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    empty = np.zeros_like(maps)
    assert (compute_kept(build_own_maps(maps), empty, "signed") <= 0.1).all()
    assert np.isnan(compute_kept(build_own_maps(empty), maps, "signed")).all()


def test_without_another_film_likeness_is_not_known(trust: TrustFilms) -> None:
    alone = trust.images[:1, 0].numpy()
    assert np.isnan(compute_kept(build_own_maps(alone), alone, "ssim")).all()


def test_likeness_of_all_pairs_is_that_of_each_pair() -> None:
    maps = np.random.default_rng(2).normal(size=(3, 28, 28)).astype(np.float32)
    maps[2] += maps[0]
    for measure in MEASURES:
        pairs = [compute_likeness(maps[0], maps[other], measure) for other in (1, 2)]
        assert build_own_maps(maps).strangers[measure][0] == pytest.approx(np.mean(pairs))
