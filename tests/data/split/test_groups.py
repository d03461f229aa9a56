from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cxresnet.data.split.groups import find_label_conflicts, join_groups


def test_all_images_of_a_cluster_with_two_classes_are_in_conflict() -> None:
    # Clusters 7: a a b; 2: a; 5: b b.
    conflicts = find_label_conflicts(np.array([7, 2, 7, 5, 7, 5]), list("aaabbb"))
    assert conflicts.tolist() == [True, False, True, False, True, False]


def test_no_image_has_no_conflict() -> None:
    assert find_label_conflicts(np.array([], dtype=np.int64), []).tolist() == []


def test_a_copy_joins_two_patients_and_all_their_images() -> None:
    # Image 1 of Ann is a copy of image 2 of Bob; image 4 has no patient and no copy.
    groups = join_groups(["ann", "ann", "bob", "bob", ""], np.array([0, 1, 1, 2, 3]))
    assert groups.tolist() == [0, 0, 0, 0, 1]


def test_unknown_patients_are_not_one_patient() -> None:
    assert join_groups(["", "", ""], np.array([5, 6, 5])).tolist() == [0, 1, 0]


def test_a_patient_called_as_a_cluster_is_numbered_is_not_in_it() -> None:
    assert join_groups(["1", "2", "3"], np.array([2, 3, 1])).tolist() == [0, 1, 2]


def test_no_image_gives_no_group() -> None:
    assert join_groups([], np.array([], dtype=np.int64)).tolist() == []


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from(["", *"abcdefgh"]), st.integers(0, 12)), min_size=1))
def test_groups_are_the_connected_components_of_scipy(images: list[tuple[str, int]]) -> None:
    patients, clusters = [image[0] for image in images], np.array([image[1] for image in images])
    count = len(images)
    pairs = [
        (i, j)
        for i in range(count)
        for j in range(i)
        if clusters[i] == clusters[j] or (patients[i] and patients[i] == patients[j])
    ]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, expected = connected_components(graph, directed=False)
    groups = join_groups(patients, clusters)
    assert ((groups[:, None] == groups[None]) == (expected[:, None] == expected[None])).all()
