"""Films and maps are shown as recorded."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from cxresnet.explain.overlay import draw_overlay
from cxresnet.explain.record import Attributions
from cxresnet.report.sections.explanation import ExplanationView, build_explanation_section


def _view(attributions: Attributions) -> ExplanationView:
    view = build_explanation_section(attributions).view
    assert isinstance(view, ExplanationView)
    return view


def _open(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_the_picture_is_the_film_tinted_on_the_shared_scale(attributions: Attributions) -> None:
    expected = draw_overlay(
        attributions.films[1], attributions.maps["occlusion"][1], scale_limit=0.2
    )
    np.testing.assert_array_equal(_open(_view(attributions).films[1].maps[0].address), expected)


def test_the_rim_of_the_lungs_is_white_where_a_mask_is_there(attributions: Attributions) -> None:
    picture = _open(_view(attributions).films[0].maps[0].address)
    assert (picture[4, 4:12] == 255).all()
    assert not (picture[8, 8] == 255).all()


def test_the_strongest_value_keeps_its_sign(attributions: Attributions) -> None:
    assert _view(attributions).films[0].maps[0].words == "strongest -0.200"


def test_a_scale_of_its_own_is_said_with_its_unit(attributions: Attributions) -> None:
    method = attributions.index.methods[0].model_copy(
        update={"unit": "change of probability per sd of grey", "own_scale_limit": 0.02}
    )
    changed = dataclasses.replace(
        attributions, index=attributions.index.model_copy(update={"methods": (method,)})
    )
    words = _view(changed).films[0].maps[0].words
    assert words == "own scale ±0.02, change of probability per sd of grey"


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
    # Nine pixels of 0.01 in the middle of the film; at its edge fewer.
    assert _view(changed).films[0].maps[0].words == "strongest +0.090"


def test_how_far_covers_come_apart_is_shown_beside_the_maps(attributions: Attributions) -> None:
    spreads = {"occlusion": np.full(attributions.films.shape, 0.05, np.float32)}
    view = _view(dataclasses.replace(attributions, spreads=spreads))
    assert [one.words for one in view.films[0].maps][1:] == ["at most 0.050"]


def test_the_lung_row_is_the_mean_over_films_with_a_mask(attributions: Attributions) -> None:
    (row,) = _view(attributions).lungs
    assert (row.films, row.share, row.chance) == (1, 0.6, 0.25)


def test_beyond_thirty_films_the_rest_is_counted(attributions: Attributions) -> None:
    many = dataclasses.replace(
        attributions,
        index=attributions.index.model_copy(update={"films": attributions.index.films * 20}),
        films=np.tile(attributions.films, (20, 1, 1)),
        lung_masks=np.tile(attributions.lung_masks, (20, 1, 1)),
        maps={"occlusion": np.tile(attributions.maps["occlusion"], (20, 1, 1))},
    )
    view = _view(many)
    assert (len(view.films), view.left_out) == (30, 10)


def test_a_method_that_failed_is_marked_in_picture_and_words(attributions: Attributions) -> None:
    methods = tuple(
        method.model_copy(update={"distrusted": True}) for method in attributions.index.methods
    )
    marked = dataclasses.replace(
        attributions, index=attributions.index.model_copy(update={"methods": methods})
    )
    plain, told = (_view(maps).films[0].maps[0] for maps in (attributions, marked))
    assert (plain.distrusted, told.distrusted) == (False, True)
    assert _open(told.address).shape[0] >= 192
    assert plain.address != told.address
