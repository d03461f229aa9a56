"""Label conflicts: one picture under two classes. At most one of them is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_label_conflicts"]


def find_label_conflicts(
    cluster_ids: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.bool_]:
    """Find the films whose cluster of copies has more than one class.

    Args:
        cluster_ids: (n,), equal for copies of each other.
        classes: (n,), class names.

    Returns:
        (n,), true for every film of such a cluster: nobody can say which label is right.

    >>> find_label_conflicts(np.array([0, 0, 1, 1]), ["a", "b", "a", "a"]).tolist()
    [True, True, False, False]
    """
    classes_of: dict[int, set[str]] = {}
    for cluster, name in zip(cluster_ids.tolist(), classes, strict=True):
        classes_of.setdefault(cluster, set()).add(name)
    return np.array([len(classes_of[cluster]) > 1 for cluster in cluster_ids.tolist()], np.bool_)
