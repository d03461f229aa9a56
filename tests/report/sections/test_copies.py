"""Clusters of copies are shown, and only from the training split."""

from __future__ import annotations

import dataclasses

import numpy as np

from cxresnet.report.sections.copies import CopiesView, build_copies_section
from cxresnet.report.sections.films import FilmMaterial


def _view(material: FilmMaterial) -> CopiesView:
    view = build_copies_section(material).view
    assert isinstance(view, CopiesView)
    return view


def test_by_hand_the_one_cluster_of_training_is_shown_whole(film_material: FilmMaterial) -> None:
    view = _view(film_material)
    assert (view.films, view.found) == (2, 1)
    (cluster,) = view.clusters
    assert [copy.class_name for copy in cluster.copies] == ["normal", "covid-19"]
    assert cluster.films == 2


def test_a_cluster_of_the_test_split_is_counted_but_not_shown(film_material: FilmMaterial) -> None:
    manifest = film_material.manifest.assign(cluster_id=[*range(10), 99, 99])
    training = manifest[manifest["split"] == "train"].reset_index(drop=True)
    view = _view(dataclasses.replace(film_material, manifest=manifest, training=training))
    assert (view.films, view.found, view.clusters) == (2, 1, ())


def test_the_largest_clusters_stand_first_and_long_ones_are_cut(
    film_material: FilmMaterial,
) -> None:
    training = film_material.training.iloc[[0] * 9 + [1] * 3].reset_index(drop=True)
    training["cluster_id"] = [5] * 9 + [4] * 3
    films = np.zeros((12, 16, 16), np.uint8)
    view = _view(dataclasses.replace(film_material, training=training, training_films=films))
    assert [(cluster.films, len(cluster.copies)) for cluster in view.clusters] == [(9, 6), (3, 3)]
