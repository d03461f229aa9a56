from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxresnet.explain.lungs import (
    OUTSIDE,
    ZONE_NAMES,
    ImageLungs,
    compute_zones,
    draw_standard_zones,
)
from cxresnet.explain.zone_means import (
    ClassZoneMeans,
    ZoneMean,
    ZoneMeans,
    choose_zone_mean_images,
    compute_class_zone_means,
    compute_tint,
    draw_class_panel,
    write_zone_means_figure,
)
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.metrics.estimate import Estimate

SIDE = 24


def _draw_lungs(shift: int = 0, source: str = "dataset") -> ImageLungs:
    right, left = np.zeros((2, SIDE, SIDE), bool)
    right[3:21, 1 + shift : 9 + shift] = True
    left[3:21, 12 + shift : 20 + shift] = True
    return ImageLungs(right, left, source)  # type: ignore[arg-type]


def _draw_map(lungs: ImageLungs, zone: str) -> NDArray[np.float32]:
    zones = compute_zones(lungs.right_lung, lungs.left_lung)
    return (zones == ZONE_NAMES.index(zone)).astype(np.float32)


def test_the_same_zone_is_found_wherever_the_lungs_lie() -> None:
    lungs = [_draw_lungs(0), _draw_lungs(3, "lung finder")]
    zone_means = compute_class_zone_means(
        "covid-19",
        lungs=lungs,
        group_ids=["a", "b"],
        maps={row: _draw_map(one, "left lower outer") for row, one in enumerate(lungs)},
    )
    shares = {zone_mean.zone: zone_mean.share.value for zone_mean in zone_means.zones}
    assert shares["left lower outer"] == 1
    assert sum(shares.values()) == 1
    assert (zone_means.images, zone_means.patients, zone_means.found_lungs) == (2, 2, 1)
    assert sum(zone_mean.area for zone_mean in zone_means.zones) == pytest.approx(1)


def test_the_mean_by_hand_and_its_interval_rest_on_patients() -> None:
    lungs = [_draw_lungs()] * 4
    zones = ["left lower outer", "left lower outer", "left lower outer", "right upper inner"]
    zone_means = compute_class_zone_means(
        "covid-19",
        lungs=lungs,
        group_ids=["a", "a", "b", "c"],
        maps={row: _draw_map(lungs[row], zone) for row, zone in enumerate(zones)},
    )
    share = next(
        zone_mean.share for zone_mean in zone_means.zones if zone_mean.zone == "left lower outer"
    )
    assert share.value == 0.75
    assert (share.n, share.groups) == (4, 3)
    assert share.low is not None
    assert share.high is not None
    assert share.low < 0.75 < share.high


def test_images_without_lungs_or_evidence_are_left_out_and_counted() -> None:
    nothing = np.zeros((SIDE, SIDE), bool)
    lungs = [_draw_lungs(), ImageLungs(nothing, nothing, "none", "Why."), _draw_lungs()]
    maps = {0: _draw_map(lungs[0], OUTSIDE), 2: -np.ones((SIDE, SIDE), np.float32)}

    zone_means = compute_class_zone_means(
        "normal", lungs=lungs, group_ids=["a", "b", "c"], maps=maps
    )
    assert (zone_means.images, zone_means.without_lungs, zone_means.without_evidence) == (1, 1, 1)


def test_without_any_image_there_are_no_zones() -> None:
    zone_means = compute_class_zone_means("normal", lungs=[], group_ids=[], maps={})
    assert (zone_means.images, zone_means.zones) == (0, ())


def test_one_image_a_patient_is_drawn_whatever_its_label_and_confidence() -> None:
    count = 60
    probabilities = np.full((count, 2), 0.5)
    evaluated = ClassifiedImages(
        class_names=("normal", "covid-19"),
        truth=np.zeros(count, np.int64),
        predicted=np.arange(count) % 2,
        probabilities=probabilities,
    )
    groups = [f"g{row // 4}" for row in range(count)]
    chosen = choose_zone_mean_images(evaluated, group_ids=groups, label=1, count=10)
    assert len(chosen) == 10
    assert all(evaluated.predicted[row] == 1 for row in chosen)
    assert len({groups[row] for row in chosen}) == 10
    assert chosen == choose_zone_mean_images(evaluated, group_ids=groups, label=1, count=10)
    everyone = choose_zone_mean_images(evaluated, group_ids=groups, label=1, count=1000)
    assert len(everyone) == 15


def _use(zone: str, share: float, area: float = 0.03) -> ZoneMean:
    estimate = Estimate(value=share, low=share / 2, high=min(1.0, 2 * share), n=5, groups=4)
    return ZoneMean(zone=zone, share=estimate, area=area)


def _build_class(most: str) -> ClassZoneMeans:
    zones = tuple(
        _use(name, 0.5 if name == most else 0.04, 0.64 if name == OUTSIDE else 0.03)
        for name in ZONE_NAMES
    )
    return ClassZoneMeans(
        class_name="covid-19",
        images=5,
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


@pytest.mark.slow
def test_all_classes_are_one_picture(tmp_path: Path) -> None:
    zone_means = ZoneMeans(
        method="Occlusion", classes=(_build_class(OUTSIDE), _build_class("right upper inner"))
    )
    path = write_zone_means_figure(tmp_path / "zone_means.png", zone_means)
    with Image.open(path) as picture:
        assert picture.width == 2 * 640


def test_a_class_without_images_says_so() -> None:
    empty = _build_class(OUTSIDE).model_copy(update={"images": 0, "patients": 0, "zones": ()})
    full = np.asarray(draw_class_panel(_build_class(OUTSIDE)))
    assert (np.asarray(draw_class_panel(empty)) != full).any()
