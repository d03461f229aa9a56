"""The nearest training images of an image, and from which similarity on they are close."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.explain import neighbours
from cxresnet.explain.neighbours import Gallery, build_gallery


def _build_gallery() -> Gallery:
    """Four images on a circle: at 0, 30, 60 and 180 degrees."""
    angles = np.deg2rad([0, 30, 60, 180])
    return Gallery(
        images=np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8),
        features=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        image_ids=("a", "b", "c", "d"),
        class_names=("normal", "normal", "covid-19", "pneumonia"),
        sources=("s",) * 4,
        group_ids=np.array(["1", "2", "2", "3"]),
        similarity_threshold=0.9,
    )


def test_the_nearest_images_by_hand() -> None:
    found, images = _build_gallery().find(
        np.array([1, 0], np.float32), image_id="x", group_id="9", count=3
    )
    assert [one.image_id for one in found.neighbours] == ["a", "b", "c"]
    similarity = [one.similarity for one in found.neighbours]
    assert similarity == pytest.approx([1, np.sqrt(3) / 2, 0.5], abs=1e-6)
    assert found.neighbours[2].class_name == "covid-19"
    assert images[:, 0, 0].tolist() == [0, 1, 2]
    assert found.has_close_match
    assert found.compared == 4


def test_images_of_the_same_group_never_count() -> None:
    found, _ = _build_gallery().find(
        np.array([1, 0], np.float32), image_id="x", group_id="1", count=4
    )
    assert [one.image_id for one in found.neighbours] == ["b", "c", "d"]
    # At 30 degrees the similarity is 0.87: not near any more.
    assert not found.has_close_match
    assert found.compared == 3


def test_where_all_are_of_the_same_group_nothing_is_near() -> None:
    gallery = _build_gallery()
    only = Gallery(
        images=gallery.images[:1],
        features=gallery.features[:1],
        image_ids=("a",),
        class_names=("normal",),
        sources=("s",),
        group_ids=np.array(["1"]),
        similarity_threshold=0.9,
    )
    found, images = only.find(np.array([1, 0], np.float32), image_id="x", group_id="1", count=4)
    assert found.neighbours == ()
    assert len(images) == 0
    assert not found.has_close_match


def _build_training(angles: list[float], groups: list[int]) -> ImageSet:
    """Images whose only grey level is an angle in degrees; sources and classes are all mixed."""
    count = len(angles)
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{row}" for row in range(count)],
            "group_id": groups,
            "source": ["north" if row % 3 else "south" for row in range(count)],
        }
    )
    images = np.array(angles, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    return ImageSet(images=images, labels=np.arange(count) % 2, manifest=manifest)


def _compute_features(images: Tensor) -> Tensor:
    """Two channels, three times as long as wanted: cosine and sine of the angle."""
    angles = torch.deg2rad(images[:, :1].float())
    return 3 * torch.cat([angles.cos(), angles.sin()], dim=1)


PREDICTOR = SimpleNamespace(
    compute_features=lambda images: (
        _compute_features(torch.from_numpy(images)[:, None]).mean(dim=(2, 3)).numpy()
    )
)


def test_near_is_what_all_but_one_in_twenty_training_images_have_in_another_group() -> None:
    # Two copies of an image of each of 22 patients, each patient farther from the one before.
    gaps = np.arange(1, 22)
    angles = np.concatenate([[0], np.cumsum(gaps)]).astype(float)
    training = _build_training(angles.repeat(2).tolist(), np.arange(22).repeat(2).tolist())
    gallery = build_gallery(PREDICTOR, training, class_names=("normal", "ill"))
    np.testing.assert_allclose(np.linalg.norm(gallery.features, axis=1), 1, atol=1e-6)
    # The copy of the same patient does not count, so the nearest is the patient before.
    nearest = np.cos(np.deg2rad([1, *gaps])).repeat(2)
    expected = np.percentile(nearest, 5)
    assert nearest.min() < expected < np.percentile(nearest, 10)
    assert gallery.similarity_threshold == pytest.approx(expected, abs=1e-5)
    assert gallery.class_names == ("normal", "ill") * 22
    assert gallery.sources[:4] == ("south", "north", "north", "south")


def test_of_many_training_images_some_are_drawn_and_every_column_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "_MAX_TRAINING_IMAGES", 5)
    training = _build_training([float(4 * row) for row in range(30)], list(range(100, 130)))
    gallery = build_gallery(PREDICTOR, training, class_names=("normal", "ill"))
    rows = [int(image_id.removeprefix("image-")) for image_id in gallery.image_ids]
    assert len(rows) == 5
    assert rows == sorted(set(rows))
    assert rows != list(range(5))
    assert gallery.images[:, 0, 0].tolist() == [4 * row for row in rows]
    assert gallery.class_names == tuple(("normal", "ill")[row % 2] for row in rows)
    assert gallery.sources == tuple("north" if row % 3 else "south" for row in rows)
    assert gallery.group_ids.tolist() == [str(100 + row) for row in rows]
    expected = np.deg2rad([4.0 * row for row in rows])
    np.testing.assert_allclose(gallery.features[:, 0], np.cos(expected), atol=1e-5)
