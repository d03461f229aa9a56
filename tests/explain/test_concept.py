from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.explain.concept import choose_concept_films, compute_class_concept
from cxresnet.explain.film_lungs import FilmLungs
from cxresnet.explain.zones import OUTSIDE, ZONE_NAMES, compute_zones
from cxresnet.metrics.classification import Judged

SIDE = 24


def _draw_lungs(shift: int = 0, source: str = "dataset") -> FilmLungs:
    right, left = np.zeros((2, SIDE, SIDE), bool)
    right[3:21, 1 + shift : 9 + shift] = True
    left[3:21, 12 + shift : 20 + shift] = True
    return FilmLungs(right, left, source)  # type: ignore[arg-type]


def _draw_map(lungs: FilmLungs, zone: str) -> NDArray[np.float32]:
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    return (zones == ZONE_NAMES.index(zone)).astype(np.float32)


def test_the_same_zone_is_found_wherever_the_lungs_lie() -> None:
    lungs = [_draw_lungs(0), _draw_lungs(3, "lung finder")]
    concept = compute_class_concept(
        "covid-19",
        lungs=lungs,
        group_ids=["a", "b"],
        attribute=lambda row: _draw_map(lungs[row], "left lower outer"),
    )
    shares = {use.zone: use.share.value for use in concept.zones}
    assert shares["left lower outer"] == 1
    assert sum(shares.values()) == 1
    assert (concept.films, concept.patients, concept.found_lungs) == (2, 2, 1)
    assert sum(use.area for use in concept.zones) == pytest.approx(1)


def test_the_mean_by_hand_and_its_interval_rest_on_patients() -> None:
    lungs = [_draw_lungs()] * 4
    zones = ["left lower outer", "left lower outer", "left lower outer", "right upper inner"]
    concept = compute_class_concept(
        "covid-19",
        lungs=lungs,
        group_ids=["a", "a", "b", "c"],
        attribute=lambda row: _draw_map(lungs[row], zones[row]),
    )
    share = next(use.share for use in concept.zones if use.zone == "left lower outer")
    assert share.value == 0.75
    assert (share.n, share.groups) == (4, 3)
    assert share.low is not None
    assert share.high is not None
    assert share.low < 0.75 < share.high


def test_films_without_lungs_or_evidence_are_left_out_and_counted() -> None:
    nothing = np.zeros((SIDE, SIDE), bool)
    lungs = [_draw_lungs(), FilmLungs(nothing, nothing, "none", "Why."), _draw_lungs()]
    asked: list[int] = []

    def attribute(row: int) -> NDArray[np.float32]:
        asked.append(row)
        return _draw_map(lungs[row], OUTSIDE) if row == 0 else -np.ones((SIDE, SIDE), np.float32)

    concept = compute_class_concept(
        "normal", lungs=lungs, group_ids=["a", "b", "c"], attribute=attribute
    )
    assert (concept.films, concept.without_lungs, concept.without_evidence) == (1, 1, 1)
    assert asked == [0, 2]


def test_without_any_film_there_are_no_zones() -> None:
    concept = compute_class_concept(
        "normal", lungs=[], group_ids=[], attribute=lambda _: np.zeros((1, 1), np.float32)
    )
    assert (concept.films, concept.zones) == (0, ())


def test_one_film_a_patient_is_drawn_whatever_its_label_and_confidence() -> None:
    count = 60
    probabilities = np.full((count, 2), 0.5)
    judged = Judged(
        class_names=("normal", "covid-19"),
        truth=np.zeros(count, np.int64),
        predicted=np.arange(count) % 2,
        probabilities=probabilities,
    )
    groups = [f"g{row // 4}" for row in range(count)]
    chosen = choose_concept_films(judged, group_ids=groups, label=1, count=10)
    assert len(chosen) == 10
    assert all(judged.predicted[row] == 1 for row in chosen)
    assert len({groups[row] for row in chosen}) == 10
    assert chosen == choose_concept_films(judged, group_ids=groups, label=1, count=10)
    everyone = choose_concept_films(judged, group_ids=groups, label=1, count=1000)
    assert len(everyone) == 15
