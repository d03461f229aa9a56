"""Images and maps are shown as recorded."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from cxresnet.explain.overlay import draw_overlay
from cxresnet.explain.record import Attributions
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.sections.explanation import (
    GalleryView,
    build_explanation_view,
    build_gallery_view,
)


def _open(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_the_picture_is_the_image_tinted_on_the_shared_scale(attributions: Attributions) -> None:
    expected = draw_overlay(
        attributions.images[1], attributions.maps["occlusion"][1], scale_limit=0.5
    )
    np.testing.assert_array_equal(
        _open(build_explanation_view(attributions).images[1].maps[0].uri), expected
    )


def test_the_rim_of_the_lungs_is_white_where_a_mask_is_there(attributions: Attributions) -> None:
    picture = _open(build_explanation_view(attributions).images[0].maps[0].uri)
    assert (picture[4, 4:12] == 255).all()
    assert not (picture[8, 8] == 255).all()


def test_the_strongest_value_keeps_its_sign(attributions: Attributions) -> None:
    assert build_explanation_view(attributions).images[0].maps[0].caption == (
        "largest change of probability −0.20 (argues against)"
    )


def test_a_weak_map_is_put_into_words_and_its_stretched_view_is_labelled(
    attributions: Attributions,
) -> None:
    weak = dataclasses.replace(
        attributions, maps={"occlusion": attributions.maps["occlusion"] / 10}
    )
    view, strong = (build_explanation_view(maps).images[0].maps[0] for maps in (weak, attributions))
    assert view.caption == "no single region matters (largest change 0.02)"
    assert view.stretched is not None
    assert view.stretched.scale_limit == 0.02
    assert view.stretched.uri != view.uri
    assert strong.stretched is None


def test_without_a_method_that_passed_the_errors_stand_without_maps(
    attributions: Attributions,
) -> None:
    methods = tuple(
        method.model_copy(update={"failed_sanity": True}) for method in attributions.index.methods
    )
    index = attributions.index.model_copy(update={"methods": methods})
    view = _choose(
        dataclasses.replace(attributions, index=index),
        "most confident incorrect",
        "least confident correct",
    )
    assert view.method == ""
    assert view.rows[0].confident_errors[0].map_uri == ""


def test_a_scale_of_its_own_is_said_with_its_unit(attributions: Attributions) -> None:
    method = attributions.index.methods[0].model_copy(
        update={"unit": "change of probability per sd of grey", "own_scale_limit": 0.02}
    )
    changed = dataclasses.replace(
        attributions, index=attributions.index.model_copy(update={"methods": (method,)})
    )
    caption = build_explanation_view(changed).images[0].maps[0].caption
    assert caption == "own scale ±0.02, change of probability per sd of grey"


def test_what_is_drawn_of_a_map_that_adds_up_is_its_sum_over_patches(
    attributions: Attributions,
) -> None:
    method = attributions.index.methods[0].model_copy(
        update={"unit": "probability per pixel", "drawn_patch_px": 3}
    )
    maps = np.full(attributions.maps["occlusion"].shape, 0.01, np.float32)
    changed = dataclasses.replace(
        attributions,
        index=attributions.index.model_copy(update={"methods": (method,)}),
        maps={"occlusion": maps},
    )
    # Nine pixels of 0.01 in the middle of the image; at its edge fewer.
    assert build_explanation_view(changed).images[0].maps[0].caption == (
        "largest change of probability +0.09 (argues for)"
    )


def test_the_range_between_baselines_is_shown_beside_the_maps(attributions: Attributions) -> None:
    baseline_ranges = {"occlusion": np.full(attributions.images.shape, 0.05, np.float32)}
    view = build_explanation_view(
        dataclasses.replace(attributions, baseline_ranges=baseline_ranges)
    )
    assert [one.caption for one in view.images[0].maps][1:] == [
        "maps with different baselines differ by up to 0.050"
    ]


def test_the_lung_row_is_the_mean_over_images_with_a_mask(attributions: Attributions) -> None:
    (row,) = build_explanation_view(attributions).lungs
    assert (row.images, row.share, row.chance) == (1, 0.6, 0.25)


def test_beyond_thirty_images_the_rest_is_counted(attributions: Attributions) -> None:
    many = dataclasses.replace(
        attributions,
        index=attributions.index.model_copy(update={"images": attributions.index.images * 20}),
        images=np.tile(attributions.images, (20, 1, 1)),
        lung_masks=np.tile(attributions.lung_masks, (20, 1, 1)),
        maps={"occlusion": np.tile(attributions.maps["occlusion"], (20, 1, 1))},
    )
    view = build_explanation_view(many)
    assert (len(view.images), view.left_out) == (30, 10)


def test_a_method_that_failed_is_marked_in_picture_and_words(attributions: Attributions) -> None:
    methods = tuple(
        method.model_copy(update={"failed_sanity": True}) for method in attributions.index.methods
    )
    marked = dataclasses.replace(
        attributions, index=attributions.index.model_copy(update={"methods": methods})
    )
    plain, told = (
        build_explanation_view(maps).images[0].maps[0] for maps in (attributions, marked)
    )
    assert (plain.failed_sanity, told.failed_sanity) == (False, True)
    assert _open(told.uri).shape[0] >= 192
    assert plain.uri != told.uri


# The gallery: confident errors, and correct images of low confidence, class by class.


def _choose(attributions: Attributions, *whys: str) -> GalleryView:
    images = tuple(
        image.model_copy(update={"selection_reason": selection_reason})
        for image, selection_reason in zip(attributions.index.images, whys, strict=True)
    )
    index = attributions.index.model_copy(update={"images": images})
    return build_gallery_view(dataclasses.replace(attributions, index=index))


def test_images_stand_with_their_label_and_their_kind(attributions: Attributions) -> None:
    view = _choose(attributions, "most confident incorrect", "least confident correct")
    assert [row.class_name for row in view.rows] == list(attributions.index.class_names)
    normal, *others = view.rows
    assert [one.record for one in normal.confident_errors] == [
        attributions.index.images[0].model_copy(
            update={"selection_reason": "most confident incorrect"}
        )
    ]
    assert len(normal.low_confidence_correct) == 1
    assert normal.confident_errors[0].uri != normal.confident_errors[0].map_uri
    assert all(row.confident_errors == row.low_confidence_correct == () for row in others)


def test_sure_and_right_images_are_no_mistakes(attributions: Attributions) -> None:
    view = _choose(attributions, "most confident correct", "most confident correct")
    assert all(row.confident_errors == row.low_confidence_correct == () for row in view.rows)


def test_without_maps_it_says_how_to_get_them() -> None:
    assert "cxresnet explain RUN" in build_section("gallery", RunArtifacts(name="new")).missing
