"""One picture an image, with the scale and the disclaimer, whatever the names are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.explain.figures import draw_explanation_figure, write_figures
from cxresnet.explain.overlay import draw_baseline_range, draw_overlay
from cxresnet.explain.record import Attributions, ExplainedImage, ExplanationIndex, MethodRecord


@pytest.fixture
def attributions() -> Attributions:
    image = ExplainedImage(
        image_id="…/фильм\x00.png",
        patient_id="",
        source="",
        true_class="../Covid 19",
        predicted_class="normal",
        probability=0.75,
        explained_class="normal",
        explained_probability=0.75,
        selection_reason="most confident incorrect",
    )
    values = np.zeros((1, 16, 16), np.float32)
    values[0, 8:, :] = 0.1
    return Attributions(
        index=ExplanationIndex(
            scale_limit=0.1,
            class_names=("normal", "../Covid 19"),
            methods=(
                MethodRecord(name="one", title="One", interpretation=""),
                MethodRecord(name="two", title="Two", interpretation=""),
            ),
            images=(image,),
        ),
        images=np.full((1, 16, 16), 80, np.uint8),
        lung_masks=np.zeros((1, 16, 16), np.uint8),
        maps={"one": values, "two": np.zeros_like(values)},
    )


def test_the_file_name_comes_from_letters_alone(tmp_path: Path, attributions: Attributions) -> None:
    (path,) = write_figures(tmp_path, attributions)
    assert path == tmp_path / "image-01-covid-19-incorrect.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_pictures_of_an_earlier_run_are_taken_away(
    tmp_path: Path, attributions: Attributions
) -> None:
    (tmp_path / "image-07-old.png").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    write_figures(tmp_path, attributions)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image-01-covid-19-incorrect.png",
        "notes.txt",
    ]


def test_the_panels_show_image_and_maps_in_order(attributions: Attributions) -> None:
    picture = np.asarray(draw_explanation_figure(attributions, 0))
    expected = draw_overlay(attributions.images[0], attributions.maps["one"][0], scale_limit=0.5)
    image, one, two = (picture[104 + 300, 24 + number * 408 + 192] for number in range(3))
    np.testing.assert_array_equal(image, [80, 80, 80])
    np.testing.assert_array_equal(one, expected[12, 8])
    np.testing.assert_array_equal(two, [36, 36, 36], "dimmed: words stand in the place of the map")


def test_words_stand_in_the_place_of_a_weak_map_until_it_is_asked_for(
    attributions: Attributions,
) -> None:
    weak = dataclasses.replace(
        attributions, maps={"one": attributions.maps["one"] / 5, "two": attributions.maps["two"]}
    )
    place = (104 + 300, 24 + 408 + 192)
    worded, stretched = (
        np.asarray(draw_explanation_figure(weak, 0, stretched=stretched))
        for stretched in (False, True)
    )
    expected = draw_overlay(weak.images[0], weak.maps["one"][0], scale_limit=0.02)[12, 8]
    np.testing.assert_array_equal(worded[place], [36, 36, 36])
    np.testing.assert_array_equal(stretched[place], expected)


def test_where_covers_come_apart_a_violet_panel_stands_last(attributions: Attributions) -> None:
    spread = np.full((1, 16, 16), 0.05, np.float32)
    picture = np.asarray(
        draw_explanation_figure(
            dataclasses.replace(attributions, baseline_ranges={"one": spread}), 0
        )
    )
    expected = draw_baseline_range(attributions.images[0], spread[0], scale_limit=0.5)[12, 8]
    np.testing.assert_array_equal(picture[104 + 300, 24 + 3 * 408 + 192], expected)
    assert expected[1] < min(expected[0], expected[2]), "violet: less green than red and blue"


def test_more_than_four_panels_go_to_a_second_line(attributions: Attributions) -> None:
    more = tuple(
        attributions.index.methods[0].model_copy(update={"name": name}) for name in "abcdef"
    )
    many = dataclasses.replace(
        attributions,
        index=attributions.index.model_copy(update={"methods": more}),
        maps=dict.fromkeys("abcdef", attributions.maps["one"]),
    )
    one, two = draw_explanation_figure(attributions, 0), draw_explanation_figure(many, 0)
    assert two.width == 4 * 408 + 24
    assert two.height == one.height + 384 + 46


def test_a_method_with_a_scale_of_its_own_is_drawn_on_it(attributions: Attributions) -> None:
    own = attributions.index.methods[0].model_copy(
        update={"unit": "no unit", "own_scale_limit": 0.4}
    )
    methods = (own, attributions.index.methods[1])
    changed = dataclasses.replace(
        attributions, index=attributions.index.model_copy(update={"methods": methods})
    )
    picture = np.asarray(draw_explanation_figure(changed, 0))
    expected = draw_overlay(attributions.images[0], attributions.maps["one"][0], scale_limit=0.4)
    np.testing.assert_array_equal(picture[104 + 300, 24 + 408 + 192], expected[12, 8])


@pytest.mark.slow
def test_only_the_map_of_a_method_that_failed_is_marked(attributions: Attributions) -> None:
    index = attributions.index
    one, two = index.methods
    methods = (one, two.model_copy(update={"failed_sanity": True}))
    marked = dataclasses.replace(attributions, index=index.model_copy(update={"methods": methods}))
    before, after = (
        np.asarray(draw_explanation_figure(maps, 0)).astype(int) for maps in (attributions, marked)
    )
    changed = np.flatnonzero(np.abs(after - before).max(axis=(0, 2)))
    third_panel = 24 + 2 * 408
    assert third_panel <= changed.min()
    assert changed.max() < third_panel + 384
