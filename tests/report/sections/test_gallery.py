"""The gallery: sure and wrong, right by a hair, class by class."""

from __future__ import annotations

import dataclasses

from cxresnet.explain.record import Attributions
from cxresnet.report.sections.gallery import GalleryView, build_gallery_section


def _choose(attributions: Attributions, *whys: str) -> GalleryView:
    films = tuple(
        film.model_copy(update={"why": why})
        for film, why in zip(attributions.index.films, whys, strict=True)
    )
    index = attributions.index.model_copy(update={"films": films})
    view = build_gallery_section(dataclasses.replace(attributions, index=index)).view
    assert isinstance(view, GalleryView)
    return view


def test_films_stand_with_their_label_and_their_kind(attributions: Attributions) -> None:
    view = _choose(attributions, "most confident wrong", "least confident right")
    assert [row.class_name for row in view.rows] == list(attributions.index.class_names)
    normal, *others = view.rows
    assert [one.film for one in normal.wrong] == [
        attributions.index.films[0].model_copy(update={"why": "most confident wrong"})
    ]
    assert len(normal.close) == 1
    assert normal.wrong[0].address != normal.wrong[0].map_address
    assert all(row.wrong == row.close == () for row in others)


def test_sure_and_right_films_are_no_mistakes(attributions: Attributions) -> None:
    view = _choose(attributions, "most confident right", "most confident right")
    assert all(row.wrong == row.close == () for row in view.rows)


def test_without_maps_it_says_how_to_get_them() -> None:
    assert "cxresnet explain RUN" in build_gallery_section(None).missing
