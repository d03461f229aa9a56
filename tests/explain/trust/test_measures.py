"""Lungs, lesions and seeds: by hand on maps of a few pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.explain.method import AbstractMethod, Question
from cxresnet.explain.trust import measures
from cxresnet.explain.trust.films import TrustFilms
from cxresnet.explain.trust.likeness import MEASURES, build_own_maps, compute_kept, compute_likeness
from cxresnet.explain.trust.measures import (
    NOISE_GREY_LEVELS,
    compute_maps,
    measure_covering,
    measure_lungs,
    measure_noise,
    measure_pointing,
    measure_seeds,
    measure_shuffled,
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
    trust: TrustFilms, before: float, after: float, counts: bool
) -> None:
    maps = trust.images[:, 0].numpy()
    network = TwoAnswers(trust.images, before, after).eval()
    kept = measure_noise(network, FilmMap(), trust, own=build_own_maps(maps), seed=0)
    assert all(np.isfinite(values).all() == counts for values in kept.values())


def test_of_two_draws_of_noise_the_one_that_counts_is_enough(trust: TrustFilms) -> None:
    maps = trust.images[:, 0].numpy()
    for after in ((0.9, 0.6), (0.6, 0.9)):
        network = TwoAnswers(trust.images, 0.6, *after).eval()
        kept = measure_noise(network, FilmMap(), trust, own=build_own_maps(maps), seed=0)
        assert all((values > 0.98).all() for values in kept.values())


def test_noise_is_two_grey_levels_and_drawn_anew(trust: TrustFilms) -> None:
    network = TwoAnswers(trust.images, 0.6, 0.6).eval()
    own = build_own_maps(trust.images[:, 0].numpy())
    measure_noise(network, FilmMap(), trust, own=own, seed=0)
    first, second = (seen - trust.images for seen in network.seen)
    for noise in (first, second):
        assert float(noise.std()) == pytest.approx(NOISE_GREY_LEVELS * trust.grey_level, rel=0.05)
    assert not torch.allclose(first, second)


def test_a_film_without_a_lesion_mask_does_not_count(trust: TrustFilms) -> None:
    lesions = trust.lesion_masks.copy()
    lesions[0] = 0
    hits, chance = measure_pointing(
        _build_maps(10, 4), dataclasses.replace(trust, lesion_masks=lesions)
    )
    assert np.isnan([hits[0], chance[0]]).all()


@dataclass(frozen=True)
class QuestionMap(AbstractMethod):
    """Target, share of the lungs and brightness of the corner, pixel by pixel."""

    name: ClassVar[str] = "question"
    title: ClassVar[str] = "Question"

    @property
    def reading(self) -> str:
        return "What was asked."

    def _compute(self, question: Question) -> Tensor:
        assert question.lung_masks is not None
        values = torch.zeros_like(question.images[:, 0])
        values[:, 0, 0] = question.targets
        values[:, 0, 1] = question.lung_masks.float().mean(dim=(1, 2))
        values[:, 0, 2] = question.images[:, 0, 0, 0]
        return values


@dataclass(frozen=True)
class SummedMap(QuestionMap):
    """The same, drawn as sums over patches of 3 px."""

    @property
    def drawn_patch_px(self) -> int:
        return 3


def test_each_image_is_explained_with_its_own_class_and_lungs(trust: TrustFilms) -> None:
    network = Indifferent().eval()
    maps = compute_maps(network, QuestionMap(), trust)
    assert maps[:, 0, 0].tolist() == list(trust.targets)
    assert maps[:, 0, 1].tolist() == [0.5, 0.5, 0.0]
    np.testing.assert_allclose(maps[:, 0, 2], trust.images[:, 0, 0, 0])
    others = compute_maps(network, QuestionMap(), trust, images=trust.images + 1)
    np.testing.assert_allclose(others[:, 0, 2], trust.images[:, 0, 0, 0] + 1)


def test_maps_are_compared_as_they_are_drawn(trust: TrustFilms) -> None:
    network = Indifferent().eval()
    plain, drawn = (compute_maps(network, one, trust) for one in (QuestionMap(), SummedMap()))
    np.testing.assert_allclose(drawn[:, 1, 1], plain[:, :3, :3].sum(axis=(1, 2)), atol=1e-5)


@dataclass(frozen=True)
class AnswerMap(AbstractMethod):
    """The image where the network says class 1; upside down where it says class 0."""

    name: ClassVar[str] = "answer"
    title: ClassVar[str] = "Answer"

    @property
    def reading(self) -> str:
        return "The image, one way up or the other."

    def _compute(self, question: Question) -> Tensor:
        says_one = question.model(question.images).argmax(dim=1) == 1
        images = question.images[:, 0]
        return torch.where(says_one[:, None, None], images, images.flip(1))


def test_randomised_networks_are_explained_and_compared_with_each_methods_own_maps(
    trust: TrustFilms, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reversed(Indifferent):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images).flip(1)

    network = Indifferent().eval()
    steps = [("head", network), ("stem", Reversed().eval())]
    monkeypatch.setattr(measures, "shuffle_from_the_head", lambda *_, **__: iter(steps))
    methods = (FilmMap(), AnswerMap())
    # An image of its own for each method, so that a mix-up is seen.
    own = {
        "film": build_own_maps(trust.images[:, 0].numpy()),
        "answer": build_own_maps(trust.images[:, 0].flip(1).numpy()),
    }
    found = measure_shuffled(network, methods, trust, own=own, seed=0)
    assert {name: [part for part, _ in rows] for name, rows in found.items()} == {
        "film": ["head", "stem"],
        "answer": ["head", "stem"],
    }
    kept = {
        (name, part): values["signed"].mean() for name, rows in found.items()
        for part, values in rows
    }  # fmt: skip
    assert kept["film", "head"] == pytest.approx(1)
    assert kept["film", "stem"] == pytest.approx(1)
    assert kept["answer", "head"] < 0.3
    assert kept["answer", "stem"] == pytest.approx(1)


def test_each_map_is_compared_with_edges_and_with_random_order() -> None:
    class OneCell(nn.Module):
        """Class 1 is certain where the first of 8 × 8 cells is bright, else as likely as not."""

        def forward(self, images: Tensor) -> Tensor:
            mean = images[:, 0, :4, :4].mean(dim=(1, 2))
            return torch.stack([torch.zeros_like(mean), 1000 * mean], dim=1)

    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype(np.uint8)
    pixels[:, :6, :6] = 128  # no edge in the first cell, so it comes last in their order
    empty = np.zeros_like(pixels)
    trust = TrustFilms(
        films=pixels,
        images=torch.ones(2, 1, 32, 32),
        targets=(1, 1),
        truth=(0, 0),
        lung_masks=empty,
        lesion_masks=empty,
        grey_level=1 / 255,
    )
    best = np.zeros((2, 32, 32), np.float32)
    best[:, :4, :4] = 1
    found = measure_covering(OneCell().eval(), trust, maps={"best": best, "worst": -best}, seed=0)
    # By hand, in 16 steps of 4 cells: the area is (0.75 + 15 / 2) / 16 if the first cell is
    # covered at once, and (15 + 0.75) / 16 if it is covered last.
    most = (15 - 15 / 2) / 16
    np.testing.assert_allclose(found["best"].deletion["edges"], [most, most], atol=1e-6)
    np.testing.assert_allclose(found["worst"].deletion["edges"], [0, 0], atol=1e-6)
    assert (
        (found["best"].deletion["random"] > 0) & (found["best"].deletion["random"] < most)
    ).all()
    assert (found["worst"].deletion["random"] < 0).all()
    # A constant image is its own blurred image: nothing can be gained by showing it.
    np.testing.assert_allclose(found["best"].insertion["edges"], [0, 0], atol=1e-6)
