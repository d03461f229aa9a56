"""Shares are recomputed from the map, coverings by covering: on a network worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.errors import ModelModeError
from cxresnet.explain.film_lungs import FilmLungs
from cxresnet.explain.story import FilmStory, compute_story, compute_zone_shares, list_coverings
from cxresnet.explain.zones import ZONE_NAMES, compute_zones

START = FilmStory(
    image_id="film", class_name="ill", probability=0.5, method="occlusion", lung_source="none"
)


def _draw_lungs() -> FilmLungs:
    """The square network looks at rows 8-15, columns 16-23: the left lung's upper third."""
    right, left = np.zeros((2, 32, 32), bool)
    right[8:32, 2:14] = True
    left[8:32, 16:28] = True
    return FilmLungs(right, left, "dataset", "A note.")


def _tell(network: nn.Module, image: Tensor, attribution: np.ndarray) -> FilmStory:
    return compute_story(
        network, image, _draw_lungs(), attribution=attribution, target=1, story=START
    )


def test_covering_is_what_the_network_says_of_the_covered_film(
    square_network: nn.Module,
) -> None:
    image = torch.ones(1, 32, 32)
    story = _tell(square_network, image, np.ones((32, 32), np.float32))
    # Logits 0 and 4 * 1 on the film; 0 and 0 with the square at 0.
    whole = 1 / (1 + np.exp(-4.0))
    assert story.probability == pytest.approx(whole, abs=1e-6)
    values = {one.name: one.probability for one in story.coverings}
    assert values["left upper"] == pytest.approx(0.5, abs=1e-6)
    assert values["both lungs"] == pytest.approx(0.5, abs=1e-6)
    assert values["right upper"] == values["left lower"] == values["outside"] == story.probability


def test_shares_are_those_of_the_map_and_sum_to_one(square_network: nn.Module) -> None:
    attribution = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)
    story = _tell(square_network, torch.ones(1, 32, 32), attribution)
    lungs = _draw_lungs()
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    positive = np.maximum(attribution, 0)
    for number, name in enumerate(ZONE_NAMES):
        assert story.shares[name] == pytest.approx(
            positive[zones == number].sum() / positive.sum(), abs=1e-6
        )
        assert story.areas[name] == pytest.approx((zones == number).mean())
    assert sum(story.shares.values()) == pytest.approx(1)


def test_what_argues_against_has_no_share() -> None:
    zones = compute_zones(_draw_lungs().right_lung, _draw_lungs().left_lung)
    assert compute_zone_shares(np.full((32, 32), -1, np.float32), zones) == {}


def test_the_thirds_the_lungs_and_the_rest_are_covered() -> None:
    zones = compute_zones(_draw_lungs().right_lung, _draw_lungs().left_lung)
    parts = list_coverings(zones)
    thirds = [part for name, part in parts.items() if name.split(" ")[0] in {"right", "left"}]
    assert len(thirds) == 6
    np.testing.assert_array_equal(np.sum(thirds, axis=0), parts["both lungs"].astype(int))
    np.testing.assert_array_equal(parts["outside"], ~parts["both lungs"])


def test_without_lungs_only_the_probability_is_known(square_network: nn.Module) -> None:
    nothing = np.zeros((32, 32), bool)
    story = compute_story(
        square_network,
        torch.ones(1, 32, 32),
        FilmLungs(nothing, nothing, "none", "No lungs to rely on: none."),
        attribution=np.ones((32, 32), np.float32),
        target=1,
        story=START,
    )
    assert (story.shares, story.areas, story.coverings) == ({}, {}, ())
    assert story.lung_note == "No lungs to rely on: none."


def test_a_training_network_is_refused_and_the_film_stays(square_network: nn.Module) -> None:
    image = torch.ones(1, 32, 32)
    _tell(square_network, image, np.ones((32, 32), np.float32))
    assert bool((image == 1).all())
    square_network.train()
    with pytest.raises(ModelModeError, match=r"model\.eval"):
        _tell(square_network, image, np.ones((32, 32), np.float32))
