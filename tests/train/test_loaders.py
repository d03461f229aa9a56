"""Batches come in an order that seed and epoch alone decide, and nothing is done image by image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cxresnet.data.prepare.preprocessing import Preprocessing, normalise
from cxresnet.train.loaders import (
    EpochSampler,
    build_loader,
    compute_capped_weights,
    compute_sampling_weights,
    normalise_tensor,
)


@dataclass(frozen=True)
class Numbered:
    """Image i is all i, and of class i % 2."""

    images: np.ndarray
    labels: np.ndarray


def build_images(count: int) -> Numbered:
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None], (count, 4, 4)).astype(np.uint8)
    return Numbered(images=images, labels=numbers % 2)


def list_rows(sampler: EpochSampler, *, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return [row for batch in sampler for row in batch]


def test_every_image_comes_once_an_epoch_except_a_rest_that_fills_no_batch() -> None:
    rows = list_rows(EpochSampler(23, batch_size=5, seed=0))

    assert len(rows) == 20
    assert len(set(rows)) == 20


def test_the_rest_that_is_left_out_is_another_one_each_epoch() -> None:
    sampler = EpochSampler(23, batch_size=5, seed=0)

    left_out = [set(range(23)) - set(list_rows(sampler, epoch=epoch)) for epoch in range(8)]

    assert len(set.union(*left_out)) > 3


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list_rows(EpochSampler(50, batch_size=5, seed=seed), epoch=epoch)

    used = EpochSampler(50, batch_size=5, seed=1)
    list_rows(used, epoch=0)

    assert order(1, 3) == order(1, 3) == list_rows(used, epoch=3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_two_processes_share_the_images_without_overlap() -> None:
    shares = [
        list_rows(EpochSampler(40, batch_size=5, seed=0, rank=rank, world=2)) for rank in (0, 1)
    ]

    assert not set(shares[0]) & set(shares[1])
    assert len(shares[0]) == len(shares[1]) == 20


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    assert [len(batch) for batch in EpochSampler(3, batch_size=32, seed=0)] == [3]


def test_balanced_drawing_brings_a_rare_class_as_often_as_a_common_one() -> None:
    labels = [0] * 90 + [1] * 10
    weights = compute_sampling_weights(labels)
    sampler = EpochSampler(100, batch_size=10, seed=0, weights=weights)

    rows = [row for epoch in range(20) for row in list_rows(sampler, epoch=epoch)]

    share = Counter(labels[row] for row in rows)[1] / len(rows)
    assert share == pytest.approx(0.5, abs=0.04)  # 2000 draws: standard error 0.011


def test_an_epoch_begun_goes_on_where_it_stopped() -> None:
    images = build_images(30)
    whole = list(EpochSampler(30, batch_size=4, seed=0))
    before = build_loader(images, sampler=EpochSampler(30, batch_size=4, seed=0))
    feed = iter(before)
    for _ in range(3):
        next(feed)

    after = build_loader(images, sampler=EpochSampler(30, batch_size=4, seed=0))
    after.load_state_dict(before.state_dict())

    assert [batch.rows.tolist() for batch in after] == whole[3:]
    assert [batch.rows.tolist() for batch in after] == whole  # the next epoch is whole again


def test_a_batch_holds_the_images_that_its_rows_name() -> None:
    images = build_images(20)

    for batch in build_loader(images, sampler=EpochSampler(20, batch_size=6, seed=0)):
        assert batch.images.shape == (6, 1, 4, 4)
        assert batch.images.dtype == torch.uint8
        assert batch.images[:, 0, 0, 0].tolist() == batch.rows.tolist()
        assert batch.labels.tolist() == [row % 2 for row in batch.rows.tolist()]


def test_validation_gets_every_image_once_and_in_order() -> None:
    rows = [batch.rows.tolist() for batch in build_loader(build_images(7), batch_size=3)]

    assert rows == [[0, 1, 2], [3, 4, 5], [6]]


def test_images_are_scaled_to_the_very_bits_of_prediction() -> None:
    preprocessing = Preprocessing(
        side_px=16,
        common_side_px=16,
        resize_mode="crop",
        low_percentile=1,
        high_percentile=99,
        border_cut=0,
        mean=0.4837,
        sd=0.2371,
    )
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)

    scaled = normalise_tensor(torch.from_numpy(images), preprocessing)

    assert np.array_equal(scaled.numpy(), normalise(images, preprocessing))
    with pytest.raises(ValueError, match="mean and sd are not measured"):
        normalise_tensor(torch.from_numpy(images), preprocessing.model_copy(update={"sd": None}))


def test_classes_come_equally_often_and_large_sources_only_up_to_the_cap() -> None:
    # Class "ill": 6 images of a, 2 of b, counted 3 and 2; class "well": 4 images of c.
    classes, sources = ["ill"] * 8 + ["well"] * 4, list("aaaaaabbcccc")

    weights = compute_capped_weights(classes, sources, cap=3)

    assert weights[:6].sum() == pytest.approx(0.5 * 3 / 5)
    assert weights[6:8].sum() == pytest.approx(0.5 * 2 / 5)
    assert weights[8:].sum() == pytest.approx(0.5)


def test_a_source_with_two_classes_is_capped_in_each() -> None:
    weights = compute_capped_weights(["ill", "well", "well"], ["a", "a", "a"], cap=1)

    assert weights.tolist() == pytest.approx([0.5, 0.25, 0.25])
