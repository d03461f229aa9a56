"""The loss by hand, against PyTorch's own, and what blending does to images and targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from cxresnet.core.config import ModelConfig, TrainConfig
from cxresnet.model.presets import build_model
from cxresnet.train.objective import (
    blend_images,
    build_optimizer,
    build_schedule,
    compute_class_weights,
    compute_loss,
    smooth_labels,
)


def test_class_weights_by_hand() -> None:
    # 3 images of class 0 and 1 of class 1: in full 1/3 and 1, times 4 / (1 + 1) = 2.
    labels = np.array([0, 0, 0, 1])

    weights = compute_class_weights(labels, class_count=2, kind="balanced")

    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0]))


def test_class_weights_of_roots_by_hand() -> None:
    # 9, 4 and 1 images: 1/3, 1/2 and 1, times 14 / (9/3 + 4/2 + 1) = 7/3.
    labels = np.repeat([0, 1, 2], [9, 4, 1])

    weights = compute_class_weights(labels, class_count=3, kind="sqrt")

    torch.testing.assert_close(weights, torch.tensor([7 / 9, 7 / 6, 7 / 3]))


@pytest.mark.parametrize("kind", ["none", "sqrt", "balanced"])
def test_class_weights_have_mean_one_over_the_images_and_an_absent_class_has_none(
    kind: str,
) -> None:
    labels = np.array([0] * 7 + [2] * 3)

    weights = compute_class_weights(labels, class_count=4, kind=kind)  # type: ignore[arg-type]

    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] == weights[3] == 0


def test_the_loss_by_hand() -> None:
    # Both classes equally likely: ln 2 for each image, weighted 1 and 3, mean 2 ln 2.
    logits = torch.zeros(2, 2)
    targets = smooth_labels(torch.tensor([0, 1]), class_count=2, smoothing=0)

    loss = compute_loss(logits, targets, torch.tensor([1.0, 3.0]))

    assert float(loss) == pytest.approx(2 * math.log(2))


def test_the_loss_is_pytorch_s_where_no_class_weighs_more() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 4, generator=generator)
    labels = torch.randint(4, (9,), generator=generator)

    loss = compute_loss(logits, smooth_labels(labels, class_count=4, smoothing=0.1), torch.ones(4))

    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels, label_smoothing=0.1))


def blend(*, mixup: float = 0, cutmix: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
    # Image 0 is all 0 and of class 0, image 1 all 1 and of class 1: an image's mean is its target.
    images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8)
    targets = torch.eye(2)
    for seed in range(20):
        blended = blend_images(
            images,
            targets,
            mixup=mixup,
            cutmix=cutmix,
            generator=torch.Generator().manual_seed(seed),
        )
        if not torch.equal(blended[1], targets):
            return blended
    raise AssertionError("nothing was blended in 20 tries")


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_targets_are_blended_as_the_images_are(kind: str) -> None:
    images, targets = blend(**{kind: 1.0})

    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), targets[:, 1])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))


def test_cutmix_lays_over_a_rectangle_and_leaves_every_pixel_one_image_s() -> None:
    images, _ = blend(cutmix=1.0)

    assert set(images.flatten().tolist()) <= {0.0, 1.0}


def test_without_blending_images_and_targets_are_handed_through() -> None:
    images, targets = torch.rand(3, 1, 4, 4), torch.eye(3)

    same = blend_images(images, targets, mixup=0, cutmix=0, generator=torch.Generator())

    assert same == (images, targets)


IMAGES = 5
HEIGHT, WIDTH = 8, 12


def blend_many(
    *, draws: int = 300, mixup: float = 0, cutmix: float = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    # Image i is 100·i plus the number of the pixel, and of class i.
    pixels = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).reshape(1, 1, HEIGHT, WIDTH)
    images = 100.0 * torch.arange(IMAGES)[:, None, None, None] + pixels
    return [
        blend_images(
            images,
            torch.eye(IMAGES, dtype=torch.float64),
            mixup=mixup,
            cutmix=cutmix,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in range(draws)
    ]


def read_shares(targets: torch.Tensor) -> tuple[float, list[int]]:
    """Read the share that is left of each image, one for all, and its partner, from targets."""
    own = targets.diagonal()
    partners = [
        int(row.index_fill(0, torch.tensor([number]), 0).argmax()) if own[number] < 1 else number
        for number, row in enumerate(targets)
    ]
    return float(own.min()), partners


@pytest.mark.slow
def test_every_image_is_the_partner_of_one_and_all_blend_by_the_same_share() -> None:
    seen = set()
    for kind in ("mixup", "cutmix"):
        for _, targets in blend_many(**{kind: 1.0}, draws=60):
            share, partners = read_shares(targets)
            seen.add(tuple(partners))
            own = torch.eye(IMAGES, dtype=torch.float64)
            torch.testing.assert_close(targets, share * own + (1 - share) * own[partners])
            assert sorted(partners) == list(range(IMAGES))
    assert len(seen) > 40


def test_mixup_takes_the_same_partner_and_share_for_images_as_for_targets() -> None:
    values = 100.0 * torch.arange(IMAGES, dtype=torch.float64)
    pixels = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).reshape(HEIGHT, WIDTH)
    for images, targets in blend_many(mixup=0.4, draws=60):
        expected = (targets @ values)[:, None, None] + pixels
        torch.testing.assert_close(images[:, 0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("parameter", [0.3, 4.0])
def test_shares_of_mixup_are_drawn_from_the_beta_distribution_asked_for(parameter: float) -> None:
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)). Images whose partner they are
    # themselves say nothing of the share.
    blended = [read_shares(targets)[0] for _, targets in blend_many(mixup=parameter, draws=600)]
    shares = np.array([share for share in blended if share < 1])

    assert shares.mean() == pytest.approx(0.5, abs=0.06)
    assert shares.var() == pytest.approx(1 / (4 * (2 * parameter + 1)), rel=0.25)


def find_rectangle(images: torch.Tensor, partners: list[int]) -> tuple[slice, slice]:
    """Find the rectangle laid over; every pixel must come from its own place in one of the two."""
    pixels = torch.arange(HEIGHT * WIDTH, dtype=torch.float64).reshape(HEIGHT, WIDTH)
    origin = (images[:, 0] - pixels) / 100
    moved = [number for number in range(IMAGES) if partners[number] != number]
    masks = [origin[number] != number for number in moved]
    for number, mask in zip(moved, masks, strict=True):
        assert torch.equal(mask, masks[0])
        assert set(origin[number][mask].tolist()) == {float(partners[number])}
    rows = masks[0].any(dim=1).nonzero().flatten()
    columns = masks[0].any(dim=0).nonzero().flatten()
    found = (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )
    assert bool(masks[0][found].all())
    return found


@pytest.mark.slow
def test_cutmix_lays_one_rectangle_over_in_place_and_its_area_is_the_share() -> None:
    covered = torch.zeros(HEIGHT, WIDTH)
    areas = []
    for images, targets in blend_many(cutmix=1.0):
        share, partners = read_shares(targets)
        if share == 1:
            continue
        rows, columns = find_rectangle(images, partners)
        tall, wide = rows.stop - rows.start, columns.stop - columns.start
        assert 1 - share == pytest.approx(tall * wide / (HEIGHT * WIDTH))
        # Of the form of the image, but for rounding to pixels.
        assert abs(tall / HEIGHT - wide / WIDTH) <= 0.5 / HEIGHT + 0.5 / WIDTH
        covered[rows, columns] += 1
        areas.append(1 - share)

    # Beta(1, 1): any area is as likely as another.
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    # Anywhere: opposite corners are covered alike, the middle most.
    corners = covered[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert float(corners.min()) > 0.15 * len(areas)
    assert float(corners.max()) < 1.5 * float(corners.min())
    assert float(covered[HEIGHT // 2, WIDTH // 2]) > 1.2 * float(corners.max())


@pytest.mark.slow
def test_with_both_each_batch_takes_one_of_them_with_its_own_parameter() -> None:
    shares: dict[bool, list[float]] = {True: [], False: []}
    for images, targets in blend_many(mixup=50.0, cutmix=0.2, draws=400):
        share, _ = read_shares(targets)
        if share < 1:
            is_cut = bool((images % 1 == 0).all())
            shares[is_cut].append(share)

    assert 0.35 < len(shares[False]) / (len(shares[True]) + len(shares[False])) < 0.75
    # Beta(50, 50) stays near 1/2; Beta(0.2, 0.2) goes to the ends.
    assert np.std(shares[False]) < 0.08
    assert np.std(shares[True]) > 0.25


# What decays, and how the learning rate runs.


def test_norms_and_biases_do_not_decay_and_everything_is_learned() -> None:
    network = build_model(ModelConfig(preset="nano"), class_count=3)
    names = {id(weight): name for name, weight in network.named_parameters()}

    decaying, free = build_optimizer(network, TrainConfig(weight_decay=0.1)).param_groups

    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert all(weight.ndim > 1 for weight in decaying["params"])
    assert all(weight.ndim <= 1 for weight in free["params"])
    assert {id(weight) for weight in [*decaying["params"], *free["params"]]} == set(names)


def test_the_learning_rate_climbs_then_falls_to_zero() -> None:
    share = build_schedule(warmup_steps=10, total_steps=100)
    shares = [share(step) for step in range(101)]

    assert shares.index(max(shares)) == 10
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[10] == 1
    assert shares[100] == pytest.approx(0)


def test_a_training_shorter_than_its_climb_still_learns() -> None:
    share = build_schedule(warmup_steps=10, total_steps=5)

    assert all(0 < share(step) < 1 for step in range(5))


def test_decay_moves_weights_without_a_gradient_towards_zero() -> None:
    network = torch.nn.Linear(2, 2)
    before = network.weight.detach().clone()
    optimizer = build_optimizer(network, TrainConfig(weight_decay=0.5, learning_rate=0.1))
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)

    optimizer.step()

    # One step of decoupled decay: times 1 - 0.1 × 0.5.
    torch.testing.assert_close(network.weight.detach(), before * 0.95)


def test_the_end_of_a_training_whose_weights_are_averaged_is_level() -> None:
    share = build_schedule(warmup_steps=2, total_steps=20, level_steps=6)

    assert share(2) == 1
    assert share(13) > 0.1
    assert [share(step) for step in range(14, 20)] == pytest.approx([0.1] * 6)
