"""Each pixel lies in one region."""

from __future__ import annotations

import numpy as np

from cxresnet.explain.methods.shapley import compute_lung_regions, compute_superpixels


def test_by_hand_two_lungs_of_different_height_are_each_cut_in_thirds() -> None:
    mask = np.zeros((12, 10), np.bool_)
    mask[0:6, 1:3] = True
    mask[3:12, 7:9] = True
    regions = compute_lung_regions(mask)
    assert regions[:, 1].tolist() == [1, 1, 2, 2, 3, 3, 0, 0, 0, 0, 0, 0]
    assert regions[:, 8].tolist() == [0, 0, 0, 4, 4, 4, 5, 5, 5, 6, 6, 6]
    assert not regions[~mask].any()


def test_without_a_lung_boxes_stand_for_them_on_every_image() -> None:
    regions = compute_lung_regions(np.zeros((64, 64), np.bool_))
    assert set(regions.ravel()) == set(range(7))
    # The right middle zone, at the left of the image, and the left lower one.
    assert regions[32, 16] == 2
    assert regions[46, 48] == 6


def test_a_superpixel_ends_where_the_grey_changes() -> None:
    image = np.zeros((40, 40), np.float32)
    image[:, 13:] = 3.0
    superpixels = compute_superpixels(image, along_side=4, compactness=0.6)
    assert not set(superpixels[:, :13].ravel()) & set(superpixels[:, 13:].ravel())


def test_on_an_even_image_superpixels_are_the_grid() -> None:
    superpixels = compute_superpixels(np.ones((20, 20), np.float32), along_side=5, compactness=0.6)
    assert len(np.unique(superpixels)) == 25
    assert (superpixels[:4, :4] == superpixels[0, 0]).all()


def test_superpixels_are_numbered_without_a_gap_and_the_same_again() -> None:
    image = np.random.default_rng(0).normal(size=(33, 47)).astype(np.float32)
    superpixels = compute_superpixels(image, along_side=6, compactness=0.3)
    assert superpixels.shape == image.shape
    assert set(superpixels.ravel()) == set(range(int(superpixels.max()) + 1))
    assert np.array_equal(superpixels, compute_superpixels(image, along_side=6, compactness=0.3))
