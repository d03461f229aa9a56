"""What the files were, counted by class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxresnet.data.dataset.dataset_record import ImageCounts
from cxresnet.report.artifacts import DatasetArtifacts
from cxresnet.report.sections.statistics import StatisticsView, build_statistics_view


@pytest.fixture
def images() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "class_name": ["a", "a", "b", "b"],
            "source": ["north", "north", "south", ""],
            "split": ["train", "test", "train", "train"],
            "view": ["PA", "PA", "AP", ""],
            "sex": ["", "", "", ""],
            "age_years": ["39", "40", "104", "045Y"],
            "file_width": [100, 200, 300, 300],
            "file_height": [100, 100, 100, 100],
            "file_format": ["PNG", "PNG", "JPEG", "JPEG"],
            "file_mode": ["L"] * 4,
            "file_bytes": [1000, 4000, 300, 600],
            "border_grey": [0.1, 0.3, 0.5, float("nan")],
        }
    )


def _view(images: pd.DataFrame, *class_names: str) -> StatisticsView:
    in_training = images[images["split"] == "train"].reset_index(drop=True)
    greys = np.arange(len(in_training), dtype=np.uint8)[:, None, None] * 51
    artifacts = DatasetArtifacts(
        class_names=class_names,
        manifest=images,
        training=in_training,
        training_images=np.broadcast_to(greys, (len(in_training), 4, 4)),
        side_px=4,
        counts=ImageCounts(scanned=4, rejected=0, conflicting=0, kept=4),
        rejected=images.iloc[:0],
    )
    return build_statistics_view(artifacts)


def test_by_hand_kinds_are_counted_by_class(images: pd.DataFrame) -> None:
    rows = {
        (row.kind, row.value): (row.counts, row.shares) for row in _view(images, "a", "b").kinds
    }
    assert rows["view", "PA"] == ((2, 0), (1.0, 0.0))
    assert rows["view", "AP"] == ((0, 1), (0.0, 0.5))
    assert rows["view", "not recorded"] == ((0, 1), (0.0, 0.5))
    assert rows["file", "JPEG L"] == ((0, 2), (0.0, 1.0))


def test_ages_are_joined_by_decade_and_other_text_is_not_recorded(images: pd.DataFrame) -> None:
    ages = {row.value: row.counts for row in _view(images, "a", "b").kinds if row.kind == "age"}
    assert ages == {
        "30–39": (1, 0),
        "40–49": (1, 0),
        "90 and older": (0, 1),
        "not recorded": (0, 1),
    }


def test_what_is_not_recorded_has_no_row(images: pd.DataFrame) -> None:
    assert not [row for row in _view(images, "a", "b").kinds if row.kind == "sex"]


def test_by_hand_numbers_spread_by_class(images: pd.DataFrame) -> None:
    distributions = {row.title: row.cells for row in _view(images, "a", "b").distributions}
    assert distributions["width, px"][0] == pytest.approx((105, 150, 195))
    # 1000 bytes on 100 × 100 px, 4000 on 200 × 100 px: 0.1 and 0.2 bytes a pixel.
    assert distributions["bytes per pixel"][0] == pytest.approx((0.105, 0.15, 0.195))
    assert distributions["mean grey of the border, 0 to 1"][1] == pytest.approx((0.5, 0.5, 0.5))


def test_a_class_without_images_has_no_numbers(images: pd.DataFrame) -> None:
    view = _view(images, "a", "none")
    assert all(row.cells[1] is None for row in view.distributions)
    assert all(row.counts[1] == 0 for row in view.kinds)


def test_by_hand_grey_levels_are_of_the_training_images_alone(images: pd.DataFrame) -> None:
    # Training images: one of a, all black; two of b, of one grey each, 51 / 255 and 102 / 255.
    distributions = {row.title: row.cells for row in _view(images, "a", "b").distributions}
    mean = distributions["mean grey of the prepared image, 0 to 1"]
    assert mean[0] == pytest.approx((0, 0, 0))
    assert mean[1] == pytest.approx((0.21, 0.3, 0.39))
    assert distributions["standard deviation of its grey"][1] == pytest.approx((0, 0, 0))


def test_by_hand_images_are_counted_by_everything_at_once(images: pd.DataFrame) -> None:
    found = _view(images, "a", "b").combinations
    # No image has a recorded sex, so it has no column.
    assert found.headings == ("class", "source", "split", "view", "age")
    assert {row.kinds: row.images for row in found.rows} == {
        ("a", "north", "train", "PA", "30–39"): 1,
        ("a", "north", "test", "PA", "40–49"): 1,
        ("b", "south", "train", "AP", "90 and older"): 1,
        ("b", "not recorded", "train", "not recorded", "not recorded"): 1,
    }
    assert (found.rest, found.rest_images) == (0, 0)


def test_rare_combinations_are_summed_up(images: pd.DataFrame) -> None:
    many = pd.concat([images] * 20, ignore_index=True)
    many["source"] = [f"s{row}" for row in range(80)]
    found = _view(many, "a", "b").combinations
    assert (len(found.rows), found.rest, found.rest_images) == (60, 20, 20)
