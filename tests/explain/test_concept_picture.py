from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.explain.concept import ClassConcept, Concept, ZoneUse
from cxresnet.explain.concept_picture import compute_tint, draw_class_panel, write_concept_picture
from cxresnet.explain.standard_lungs import draw_standard_zones
from cxresnet.explain.zones import OUTSIDE, ZONE_NAMES
from cxresnet.metrics.estimate import Estimate


def _use(zone: str, share: float, area: float = 0.03) -> ZoneUse:
    estimate = Estimate(value=share, low=share / 2, high=min(1.0, 2 * share), n=5, groups=4)
    return ZoneUse(zone=zone, share=estimate, area=area)


def _build_class(most: str) -> ClassConcept:
    zones = tuple(
        _use(name, 0.5 if name == most else 0.04, 0.64 if name == OUTSIDE else 0.03)
        for name in ZONE_NAMES
    )
    return ClassConcept(
        class_name="covid-19",
        films=5,
        patients=4,
        without_lungs=0,
        found_lungs=0,
        without_evidence=0,
        zones=zones,
    )


def test_the_standard_lungs_have_all_zones_and_are_almost_mirror_images() -> None:
    zones = draw_standard_zones(400)
    assert set(np.unique(zones)) == set(range(13))
    right, left = (zones > 0) & (zones < 7), zones > 6
    assert np.nonzero(right)[1].max() < 200 < np.nonzero(left)[1].min()
    both = right & left[:, ::-1]
    assert 2 * both.sum() / (right.sum() + left.sum()) > 0.9


def test_more_than_its_area_is_orange_less_is_blue_and_as_much_is_grey() -> None:
    red, _, blue = compute_tint(_use("left lower outer", 0.5))
    assert red > 2 * blue
    red, _, blue = compute_tint(_use("left lower outer", 0.001))
    assert blue > 2 * red
    assert compute_tint(_use("left lower outer", 0.03)) == pytest.approx(np.array((70, 78, 90)))


def test_the_zone_that_holds_most_is_the_orange_one_on_the_right_side_of_the_picture() -> None:
    panel = np.asarray(draw_class_panel(_build_class("left lower outer"))).astype(int)
    orange = (panel[..., 0] > 180) & (panel[..., 2] < 40)
    rows, columns = np.nonzero(orange)
    # The patient's left is at the picture's right.
    assert columns.min() > 320
    assert rows.mean() > 100 + 640 / 2


def test_all_classes_are_one_picture(tmp_path: Path) -> None:
    concept = Concept(
        method="Occlusion", classes=(_build_class(OUTSIDE), _build_class("right upper inner"))
    )
    path = write_concept_picture(tmp_path / "concept.png", concept)
    with Image.open(path) as picture:
        assert picture.width == 2 * 640


def test_a_class_without_films_says_so() -> None:
    empty = _build_class(OUTSIDE).model_copy(update={"films": 0, "patients": 0, "zones": ()})
    full = np.asarray(draw_class_panel(_build_class(OUTSIDE)))
    assert (np.asarray(draw_class_panel(empty)) != full).any()
