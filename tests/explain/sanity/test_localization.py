"""Lungs and lesions: by hand on maps of a few pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxresnet.explain.sanity.check import SanityImages
from cxresnet.explain.sanity.localization import measure_lungs, measure_pointing

SIDE = 28  # so that the tolerance of 15 px of 224 is 2 px


def _build_maps(row: int, column: int) -> np.ndarray:
    maps = np.zeros((3, SIDE, SIDE), np.float32)
    maps[:, row, column] = 1.0
    return maps


@pytest.mark.parametrize(
    ("row", "column", "hit"), [(10, 4, 1), (13, 9, 1), (13, 10, 0), (7, 4, 0), (20, 20, 0)]
)
def test_a_hit_lies_in_the_lesion_or_two_pixels_off(
    sample: SanityImages, row: int, column: int, hit: int
) -> None:
    hits, _ = measure_pointing(_build_maps(row, column), sample)
    assert hits[0] == hit


def test_an_image_that_the_network_has_wrong_does_not_count(sample: SanityImages) -> None:
    hits, chance = measure_pointing(_build_maps(10, 4), sample)
    assert np.isnan([hits[1], chance[1]]).all()
    assert hits[2] == 1


def test_of_equally_high_places_the_share_counts(sample: SanityImages) -> None:
    maps = _build_maps(10, 4)
    maps[0, 25, 25] = 1.0
    assert measure_pointing(maps, sample)[0][0] == 0.5


def test_chance_points_into_the_lungs_or_into_the_image(sample: SanityImages) -> None:
    _, chance = measure_pointing(_build_maps(0, 0), sample)
    # Lesion of 4 × 4 px with what lies within 2 px: 8 × 8 less 3 px at each corner = 52 px.
    assert chance[0] == pytest.approx(52 / (SIDE * SIDE / 2))
    assert chance[2] == pytest.approx(52 / SIDE**2)


def test_an_image_without_a_lesion_mask_does_not_count(sample: SanityImages) -> None:
    lesions = sample.lesion_masks.copy()
    lesions[0] = 0
    hits, chance = measure_pointing(
        _build_maps(10, 4), dataclasses.replace(sample, lesion_masks=lesions)
    )
    assert np.isnan([hits[0], chance[0]]).all()


def test_weight_in_the_lungs_counts_for_and_against(sample: SanityImages) -> None:
    maps = _build_maps(0, 0)
    maps[:, 5, 20] = -3.0
    shares, areas = measure_lungs(maps, sample)
    assert (shares[0], areas[0]) == (0.25, 0.5)
    assert np.isnan(shares[2])
