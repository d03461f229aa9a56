from __future__ import annotations

import numpy as np
import pytest

from cxresnet.explain.neighbours import Gallery


def _build_gallery() -> Gallery:
    """Four films on a circle: at 0, 30, 60 and 180 degrees."""
    angles = np.deg2rad([0, 30, 60, 180])
    return Gallery(
        films=np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8),
        features=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        image_ids=("a", "b", "c", "d"),
        class_names=("normal", "normal", "covid-19", "pneumonia"),
        sources=("s",) * 4,
        group_ids=np.array(["1", "2", "2", "3"]),
        near_likeness=0.9,
    )


def test_the_nearest_films_by_hand() -> None:
    found, films = _build_gallery().find(
        np.array([1, 0], np.float32), image_id="x", group_id="9", count=3
    )
    assert [one.image_id for one in found.neighbours] == ["a", "b", "c"]
    likeness = [one.likeness for one in found.neighbours]
    assert likeness == pytest.approx([1, np.sqrt(3) / 2, 0.5], abs=1e-6)
    assert found.neighbours[2].class_name == "covid-19"
    assert films[:, 0, 0].tolist() == [0, 1, 2]
    assert found.is_near
    assert found.compared == 4


def test_films_of_the_same_group_never_count() -> None:
    found, _ = _build_gallery().find(
        np.array([1, 0], np.float32), image_id="x", group_id="1", count=4
    )
    assert [one.image_id for one in found.neighbours] == ["b", "c", "d"]
    # At 30 degrees the likeness is 0.87: not near any more.
    assert not found.is_near
    assert found.compared == 3


def test_where_all_are_of_the_same_group_nothing_is_near() -> None:
    gallery = _build_gallery()
    only = Gallery(
        films=gallery.films[:1],
        features=gallery.features[:1],
        image_ids=("a",),
        class_names=("normal",),
        sources=("s",),
        group_ids=np.array(["1"]),
        near_likeness=0.9,
    )
    found, films = only.find(np.array([1, 0], np.float32), image_id="x", group_id="1", count=4)
    assert found.neighbours == ()
    assert len(films) == 0
    assert not found.is_near
