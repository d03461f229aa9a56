"""Similarity of maps, beyond that of different images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.map_similarity import (
    MEASURES,
    Measure,
    build_reference_maps,
    compute_map_similarity,
    compute_rank_correlation,
    compute_similarity_retained,
    compute_ssim,
)


def test_the_zero_of_similarity_is_another_images_map() -> None:
    random = np.random.default_rng(0)
    rim = np.pad(np.ones((20, 20)), 4)  # what all maps of the method share
    maps = (rim * (1 + 0.2 * random.random((6, 28, 28)))).astype(np.float32)
    unrelated_maps = np.roll(maps, 1, axis=0)
    assert (
        np.abs(
            compute_similarity_retained(build_reference_maps(maps), unrelated_maps, "absolute")
        ).max()
        < 0.1
    )
    assert compute_similarity_retained(
        build_reference_maps(maps), maps, "absolute"
    ) == pytest.approx(np.ones(6))


def test_a_map_that_became_empty_has_lost_everything() -> None:
    maps = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    empty = np.zeros_like(maps)
    assert (compute_similarity_retained(build_reference_maps(maps), empty, "signed") <= 0.1).all()
    assert np.isnan(compute_similarity_retained(build_reference_maps(empty), maps, "signed")).all()


def test_without_another_image_similarity_is_not_known(sample: SanityImages) -> None:
    alone = sample.images[:1, 0].numpy()
    assert np.isnan(compute_similarity_retained(build_reference_maps(alone), alone, "ssim")).all()


def test_similarity_of_all_pairs_is_that_of_each_pair() -> None:
    maps = np.random.default_rng(2).normal(size=(3, 28, 28)).astype(np.float32)
    maps[2] += maps[0]
    for measure in MEASURES:
        pairs = [compute_map_similarity(maps[0], maps[other], measure) for other in (1, 2)]
        assert build_reference_maps(maps).unrelated_similarity[measure][0] == pytest.approx(
            np.mean(pairs)
        )


# Likeness of maps: by hand, and against a stranger's implementation.


@pytest.mark.parametrize("measure", MEASURES)
def test_an_even_map_is_like_no_other_and_its_own_similarity_is_not_known(measure: Measure) -> None:
    maps = np.random.default_rng(0).normal(size=(4, 28, 28)).astype(np.float32)
    even = maps.copy()
    even[1] = 0
    known = build_reference_maps(even).unrelated_similarity[measure]
    others = build_reference_maps(maps[[0, 2, 3]]).unrelated_similarity[measure]
    assert np.isnan(known[1])
    assert known[[0, 2, 3]] == pytest.approx(others * 2 / 3)


def test_only_the_order_of_the_values_counts() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert compute_rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert compute_rank_correlation(values, -(values**3)) == pytest.approx(-1)


def test_equal_values_share_their_mean_rank() -> None:
    # Ranks 1, 2, 3, 4 and 1.5, 1.5, 3.5, 3.5: covariance 4, variances 5 and 4, 4 / √20.
    first, second = np.array([1.0, 2, 3, 4]), np.array([0.0, 0, 7, 7])
    assert compute_rank_correlation(first, second) == pytest.approx(4 / np.sqrt(20))


def test_a_map_that_is_the_same_everywhere_has_no_order() -> None:
    assert np.isnan(compute_rank_correlation(np.zeros((3, 3)), np.eye(3)))


def test_structure_is_that_of_torchmetrics() -> None:
    random = np.random.default_rng(0)
    first = random.random((40, 33))
    second = np.clip(first + random.normal(0, 0.2, first.shape), 0, 1)
    _, theirs = structural_similarity_index_measure(
        torch.tensor(first)[None, None],
        torch.tensor(second)[None, None],
        data_range=1.0,
        return_full_image=True,
    )
    # They also count the rim, where part of the window lies outside of the map; Wang does not.
    inside = theirs[0, 0, 5:-5, 5:-5]
    assert compute_ssim(first, second) == pytest.approx(float(inside.mean()), abs=1e-6)


def test_equal_maps_are_wholly_alike() -> None:
    values = np.random.default_rng(1).random((20, 20))
    assert compute_ssim(values, values) == pytest.approx(1)
