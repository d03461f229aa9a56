from __future__ import annotations

import numpy as np

from cxresnet.data.conflicts import find_label_conflicts


def test_all_films_of_a_cluster_with_two_classes_are_in_conflict() -> None:
    # Clusters 7: a a b; 2: a; 5: b b.
    conflicts = find_label_conflicts(np.array([7, 2, 7, 5, 7, 5]), list("aaabbb"))
    assert conflicts.tolist() == [True, False, True, False, True, False]


def test_no_film_has_no_conflict() -> None:
    assert find_label_conflicts(np.array([], dtype=np.int64), []).tolist() == []
