"""Groups: what must not be torn apart by a split, patients joined with clusters of copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.data.forest import Forest

__all__ = ["join_groups"]


def join_groups(patient_ids: Sequence[str], cluster_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join films of one patient and films of one cluster, and whatever that links in turn.

    A patient's films may be copies of another patient's; then both patients are one group. Equal
    ids in two sources count as one patient: joining too much costs nothing, too little leaks.

    Args:
        patient_ids: (n,), one a film; "" means unknown, and joins nothing.
        cluster_ids: (n,), one a film; a film without copies has an id of its own.

    Returns:
        (n,), 0 and up in order of first appearance; equal means: never in two splits.

    >>> join_groups(["a", "b", "", "b"], np.array([0, 1, 1, 2])).tolist()
    [0, 1, 1, 1]
    """
    forest = Forest(len(patient_ids))
    first_of: dict[tuple[str, object], int] = {}
    for film, (patient, cluster) in enumerate(zip(patient_ids, cluster_ids.tolist(), strict=True)):
        forest.join(film, first_of.setdefault(("cluster", cluster), film))
        if patient:
            forest.join(film, first_of.setdefault(("patient", patient), film))
    return forest.number_groups()
