from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cxresnet.data.groups import join_groups


def test_a_copy_joins_two_patients_and_all_their_films() -> None:
    # Film 1 of Ann is a copy of film 2 of Bob; film 4 has no patient and no copy.
    groups = join_groups(["ann", "ann", "bob", "bob", ""], np.array([0, 1, 1, 2, 3]))
    assert groups.tolist() == [0, 0, 0, 0, 1]


def test_unknown_patients_are_not_one_patient() -> None:
    assert join_groups(["", "", ""], np.array([5, 6, 5])).tolist() == [0, 1, 0]


def test_a_patient_called_as_a_cluster_is_numbered_is_not_in_it() -> None:
    assert join_groups(["1", "2", "3"], np.array([2, 3, 1])).tolist() == [0, 1, 2]


def test_no_film_gives_no_group() -> None:
    assert join_groups([], np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.tuples(st.sampled_from(["", *"abcdefgh"]), st.integers(0, 12)), min_size=1))
def test_groups_are_the_connected_components_of_scipy(films: list[tuple[str, int]]) -> None:
    patients, clusters = [film[0] for film in films], np.array([film[1] for film in films])
    count = len(films)
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
