"""The loss by hand, against PyTorch's own, and what blending does to films and targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from cxresnet.train.objective import (
    blend_films,
    compute_class_weights,
    compute_loss,
    soften_labels,
)


def test_class_weights_by_hand() -> None:
    # 3 films of class 0 and 1 of class 1: in full 1/3 and 1, times 4 / (1 + 1) = 2.
    labels = np.array([0, 0, 0, 1])

    weights = compute_class_weights(labels, class_count=2, kind="full")

    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0]))


@pytest.mark.parametrize("kind", ["none", "root", "full"])
def test_class_weights_have_mean_one_over_the_films_and_an_absent_class_has_none(kind: str) -> None:
    labels = np.array([0] * 7 + [2] * 3)

    weights = compute_class_weights(labels, class_count=4, kind=kind)  # type: ignore[arg-type]

    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] == weights[3] == 0


def test_the_loss_by_hand() -> None:
    # Both classes equally likely: ln 2 for each film, weighted 1 and 3, mean 2 ln 2.
    logits = torch.zeros(2, 2)
    targets = soften_labels(torch.tensor([0, 1]), class_count=2, smoothing=0)

    loss = compute_loss(logits, targets, torch.tensor([1.0, 3.0]))

    assert float(loss) == pytest.approx(2 * math.log(2))


def test_the_loss_is_pytorch_s_where_no_class_weighs_more() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 4, generator=generator)
    labels = torch.randint(4, (9,), generator=generator)

    loss = compute_loss(logits, soften_labels(labels, class_count=4, smoothing=0.1), torch.ones(4))

    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels, label_smoothing=0.1))


def blend(*, mixup: float = 0, cutmix: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
    # Film 0 is all 0 and of class 0, film 1 all 1 and of class 1: a film's mean is its target.
    films = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8)
    targets = torch.eye(2)
    for seed in range(20):
        blended = blend_films(
            films,
            targets,
            mixup=mixup,
            cutmix=cutmix,
            generator=torch.Generator().manual_seed(seed),
        )
        if not torch.equal(blended[1], targets):
            return blended
    raise AssertionError("nothing was blended in 20 tries")


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_targets_are_blended_as_the_films_are(kind: str) -> None:
    films, targets = blend(**{kind: 1.0})

    torch.testing.assert_close(films.mean(dim=(1, 2, 3)), targets[:, 1])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))


def test_cutmix_lays_over_a_rectangle_and_leaves_every_pixel_one_film_s() -> None:
    films, _ = blend(cutmix=1.0)

    assert set(films.flatten().tolist()) <= {0.0, 1.0}


def test_without_blending_films_and_targets_are_handed_through() -> None:
    films, targets = torch.rand(3, 1, 4, 4), torch.eye(3)

    same = blend_films(films, targets, mixup=0, cutmix=0, generator=torch.Generator())

    assert same == (films, targets)
