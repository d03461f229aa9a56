"""Near-duplicates are shown, and only from the training split."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cxresnet.report.artifacts import DatasetArtifacts, RunArtifacts
from cxresnet.report.registry import build_section
from cxresnet.report.sections.data import (
    SplitCell,
    build_data_view,
    build_near_duplicates_view,
    count_rejected,
)


def test_by_hand_the_one_cluster_of_training_is_shown_whole(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    view = build_near_duplicates_view(dataset_artifacts)
    assert (view.images, view.found) == (2, 1)
    (cluster,) = view.clusters
    assert [copy.class_name for copy in cluster.duplicates] == ["normal", "covid-19"]
    assert cluster.images == 2


def test_a_cluster_of_the_test_split_is_counted_but_not_shown(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    manifest = dataset_artifacts.manifest.assign(cluster_id=[*range(10), 99, 99])
    training = manifest[manifest["split"] == "train"].reset_index(drop=True)
    view = build_near_duplicates_view(
        dataclasses.replace(dataset_artifacts, manifest=manifest, training=training)
    )
    assert (view.images, view.found, view.clusters) == (2, 1, ())


def test_the_largest_clusters_stand_first_and_long_ones_are_cut(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    training = dataset_artifacts.training.iloc[[0] * 9 + [1] * 3].reset_index(drop=True)
    training["cluster_id"] = [5] * 9 + [4] * 3
    images = np.zeros((12, 16, 16), np.uint8)
    view = build_near_duplicates_view(
        dataclasses.replace(dataset_artifacts, training=training, training_images=images)
    )
    assert [(cluster.images, len(cluster.duplicates)) for cluster in view.clusters] == [
        (9, 6),
        (3, 3),
    ]


# The images are counted right, and only training images are shown.


def test_by_hand_images_and_groups_by_class_and_split(dataset_artifacts: DatasetArtifacts) -> None:
    view = build_data_view(dataset_artifacts)
    normal = view.classes[0]
    # Rows 0 and 3 train, 6 val, 9 test; groups are row // 2: 0, 1, 3, 4.
    assert normal.total == SplitCell(images=4, groups=4)
    assert normal.splits == (SplitCell(2, 2), SplitCell(1, 1), SplitCell(1, 1))
    assert normal.source_shares == (0.0, 1.0, 0.0)
    assert [source.source for source in view.sources][1:] == ["a", "b"]


def test_by_hand_copies_are_images_of_clusters_of_two_or_more(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    view = build_data_view(dataset_artifacts)
    # Rows 0 and 1 share cluster 0; every other image is alone.
    assert (view.near_duplicates, view.near_duplicate_clusters) == (2, 1)
    assert view.share_without_patient == 0.5


def test_a_class_without_training_images_has_no_samples(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    only_normal = dataset_artifacts.training["class_name"] == "normal"
    artifacts = dataclasses.replace(
        dataset_artifacts, training=dataset_artifacts.training[only_normal].reset_index(drop=True)
    )
    view = build_data_view(artifacts)
    assert [len(samples) for samples in view.samples] == [2, 0, 0]


def test_a_sample_is_the_image_of_its_row(dataset_artifacts: DatasetArtifacts) -> None:
    images = np.zeros((6, 16, 16), np.uint8)
    images[3] = 255
    asked: list[int] = []

    class Counted:
        def __getitem__(self, row: int) -> np.ndarray:
            asked.append(row)
            return images[row]

    artifacts = dataclasses.replace(dataset_artifacts, training_images=Counted())
    samples = build_data_view(artifacts).samples
    # Row 3 is the second normal image of the training split, and the only white one.
    assert samples[0][0].uri != samples[0][1].uri
    assert {0, 3} <= set(asked)


@pytest.mark.slow
def test_many_sources_are_joined_so_that_the_table_stays_readable(
    dataset_artifacts: DatasetArtifacts,
) -> None:
    manifest = pd.concat([dataset_artifacts.manifest] * 4, ignore_index=True)
    manifest["source"] = [f"s{row % 20}" for row in range(len(manifest))]
    view = build_data_view(dataclasses.replace(dataset_artifacts, manifest=manifest))
    assert len(view.sources) == 12
    assert sum(source.images for source in view.sources) == 48


def test_rejected_images_are_counted_by_reason_most_first() -> None:
    rejected = pd.DataFrame(
        {"image_id": list("abcd"), "code": ["x", "y", "y", "z"], "reason": list("ABCD")}
    )
    rows = count_rejected(rejected)
    assert [(row.code, row.images, row.example, row.reason) for row in rows] == [
        ("y", 2, "b", "B"),
        ("x", 1, "a", "A"),
        ("z", 1, "d", "D"),
    ]


def test_without_a_dataset_the_section_says_so() -> None:
    section = build_section("data", RunArtifacts(name="new"))
    assert section.view is None
    assert "not there any more" in section.missing
