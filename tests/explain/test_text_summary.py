"""Shares are recomputed from the map, coverings by covering: on a network worked out by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxresnet.core.errors import ModelModeError
from cxresnet.explain.lungs import OUTSIDE, ZONE_NAMES, ImageLungs, compute_zones
from cxresnet.explain.text_summary import (
    ImageTextSummary,
    RegionOcclusion,
    compute_text_summary,
    compute_zone_shares,
    list_occlusion_regions,
    write_sentences,
)

START = ImageTextSummary(
    image_id="image", class_name="ill", probability=0.5, method="occlusion", lung_source="none"
)


def _draw_lungs() -> ImageLungs:
    """The square network looks at rows 8-15, columns 16-23: the left lung's upper third."""
    right, left = np.zeros((2, 32, 32), bool)
    right[8:32, 2:14] = True
    left[8:32, 16:28] = True
    return ImageLungs(right, left, "dataset", "A note.")


def _tell(network: nn.Module, image: Tensor, attribution: np.ndarray) -> ImageTextSummary:
    return compute_text_summary(
        network, image, _draw_lungs(), attribution=attribution, target=1, summary=START
    )


def test_covering_is_what_the_network_says_of_the_covered_image(
    square_network: nn.Module,
) -> None:
    image = torch.ones(1, 32, 32)
    summary = _tell(square_network, image, np.ones((32, 32), np.float32))
    # Logits 0 and 4 * 1 on the image; 0 and 0 with the square at 0.
    whole = 1 / (1 + np.exp(-4.0))
    assert summary.probability == pytest.approx(whole, abs=1e-6)
    values = {one.name: one.probability for one in summary.occlusions}
    assert values["left upper"] == pytest.approx(0.5, abs=1e-6)
    assert values["both lungs"] == pytest.approx(0.5, abs=1e-6)
    assert values["right upper"] == values["left lower"] == values["outside"] == summary.probability


def test_shares_are_those_of_the_map_and_sum_to_one(square_network: nn.Module) -> None:
    attribution = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)
    summary = _tell(square_network, torch.ones(1, 32, 32), attribution)
    lungs = _draw_lungs()
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    positive = np.maximum(attribution, 0)
    for number, name in enumerate(ZONE_NAMES):
        assert summary.shares[name] == pytest.approx(
            positive[zones == number].sum() / positive.sum(), abs=1e-6
        )
        assert summary.areas[name] == pytest.approx((zones == number).mean())
    assert sum(summary.shares.values()) == pytest.approx(1)


def test_what_argues_against_has_no_share() -> None:
    zones = compute_zones(_draw_lungs().right_lung, _draw_lungs().left_lung)
    assert compute_zone_shares(np.full((32, 32), -1, np.float32), zones) == {}


def test_the_thirds_the_lungs_and_the_rest_are_covered() -> None:
    zones = compute_zones(_draw_lungs().right_lung, _draw_lungs().left_lung)
    parts = list_occlusion_regions(zones)
    thirds = [part for name, part in parts.items() if name.split(" ")[0] in {"right", "left"}]
    assert len(thirds) == 6
    np.testing.assert_array_equal(np.sum(thirds, axis=0), parts["both lungs"].astype(int))
    np.testing.assert_array_equal(parts["outside"], ~parts["both lungs"])


def test_without_lungs_only_the_probability_is_known(square_network: nn.Module) -> None:
    nothing = np.zeros((32, 32), bool)
    summary = compute_text_summary(
        square_network,
        torch.ones(1, 32, 32),
        ImageLungs(nothing, nothing, "none", "No lungs to rely on: none."),
        attribution=np.ones((32, 32), np.float32),
        target=1,
        summary=START,
    )
    assert (summary.shares, summary.areas, summary.occlusions) == ({}, {}, ())
    assert summary.lung_note == "No lungs to rely on: none."


def test_a_training_network_is_refused_and_the_image_stays(square_network: nn.Module) -> None:
    image = torch.ones(1, 32, 32)
    _tell(square_network, image, np.ones((32, 32), np.float32))
    assert bool((image == 1).all())
    square_network.train()
    with pytest.raises(ModelModeError, match=r"model\.eval"):
        _tell(square_network, image, np.ones((32, 32), np.float32))


# Every number in a sentence is one of the record's.


def _build_summary(
    shares: dict[str, float], occlusions: dict[str, float], **more: object
) -> ImageTextSummary:
    base = dict.fromkeys(ZONE_NAMES, 0.0) | {OUTSIDE: 1 - sum(shares.values())}
    areas = dict.fromkeys(ZONE_NAMES, 0.03) | {OUTSIDE: 0.64}
    thirds = {f"{s} {h}": 0.83 for s in ("right", "left") for h in ("upper", "middle", "lower")}
    values = thirds | {"both lungs": 0.2, "outside": 0.8} | occlusions
    summary = ImageTextSummary(
        image_id="image",
        class_name="covid-19",
        probability=0.83,
        method="occlusion",
        lung_source="dataset",
        shares=base | shares,
        areas=areas,
        occlusions=tuple(RegionOcclusion(name=name, probability=p) for name, p in values.items()),
    )
    return summary.model_copy(update=more)


def test_the_sentences_of_a_bilateral_lower_answer() -> None:
    summary = _build_summary(
        {"right lower outer": 0.30, "left lower outer": 0.32}, {"left lower": 0.41}
    )
    assert write_sentences(summary) == (
        (
            "62% of the network's evidence for covid-19 lies in the lower outer zones of both "
            "lungs (6% of the image); 38% lies outside the lungs (64% of the image)."
        ),
        (
            "Covering the lower third of the patient's left lung with grey lowers the probability "
            "of covid-19 from 0.83 to 0.41."
        ),
        (
            "With both lungs covered the probability is 0.20; with everything but the lungs "
            "covered it is 0.80."
        ),
    )


def test_an_answer_from_outside_the_lungs_is_called_one() -> None:
    where, _, lungs = write_sentences(
        _build_summary({"left upper inner": 0.05}, {"both lungs": 0.80})
    )
    assert where.startswith("95% of the network's evidence for covid-19 lies outside")
    assert lungs.endswith("Much of this prediction therefore does not depend on the lungs.")


def test_where_covering_does_nothing_it_is_said() -> None:
    _, occlusion, _ = write_sentences(
        _build_summary({"left upper inner": 0.9}, {"right upper": 0.829})
    )
    assert "hardly lowers" in occlusion
    assert (
        "(0.83; lowest value 0.83, with the upper third of the patient's right lung covered)"
        in occlusion
    )


def test_without_lungs_the_reason_is_told() -> None:
    summary = _build_summary({}, {}).model_copy(
        update={"occlusions": (), "lung_note": "No lungs to rely on: a lung falls into pieces."}
    )
    assert write_sentences(summary) == (
        "No lungs to rely on: a lung falls into pieces. No lung zone can be named.",
    )


def test_a_note_on_the_lungs_is_told_last() -> None:
    assert (
        write_sentences(_build_summary({"left upper inner": 0.9}, {}, lung_note="Beware."))[-1]
        == "Beware."
    )


def test_a_map_without_evidence_is_said_to_have_none() -> None:
    (first, *_) = write_sentences(_build_summary({}, {}).model_copy(update={"shares": {}}))
    assert first == "According to the map, nothing on this image is evidence for covid-19."


@pytest.mark.parametrize("seed", range(5))
def test_every_number_is_in_the_record(seed: int) -> None:
    shares = {"right middle inner": 0.1 * seed + 0.05, "left lower outer": 0.2}
    summary = _build_summary(shares, {"right middle": 0.5 - 0.05 * seed})
    known = {f"{value:.2f}" for value in [0.83, *(one.probability for one in summary.occlusions)]}
    sums = [summary.shares[a] + summary.shares[b] for a in ZONE_NAMES for b in ZONE_NAMES if a != b]
    known |= {f"{value:.0%}" for value in [*sums, *summary.shares.values(), 0.03, 0.06, 0.64]}
    for sentence in write_sentences(summary):
        numbers = re.findall(r"\d+\.\d+|\d+%", sentence)
        assert set(numbers) <= known


def test_the_words_never_speak_of_the_disease_itself() -> None:
    for sentence in write_sentences(_build_summary({"left lower outer": 0.5}, {"left lower": 0.3})):
        assert not re.search(r"patient has|is ill|shows covid|diagnos|infect", sentence)
