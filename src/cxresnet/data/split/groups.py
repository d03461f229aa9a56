"""Groups of images that must stay in one split: patients joined with near-duplicate clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Union-find: whatever is joined, step by step, ends up with one number.


class UnionFind:
    """Images on their way into groups, with path halving: near-linear in the number of joins."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find_root(self, image: int) -> int:
        """Find the image that stands for the whole group of an image, its first."""
        parents = self._parents
        while parents[image] != image:
            parents[image] = parents[parents[image]]
            image = parents[image]
        return image

    def join(self, image: int, other: int) -> None:
        """Make one group of the groups of two images."""
        low, high = sorted((self.find_root(image), self.find_root(other)))
        self._parents[high] = low

    def number_groups(self) -> NDArray[np.int64]:
        """Number the groups from 0 in the order of their first images: (images,)."""
        numbers: dict[int, int] = {}
        roots = (self.find_root(image) for image in range(len(self._parents)))
        return np.array([numbers.setdefault(root, len(numbers)) for root in roots], dtype=np.int64)


def join_groups(patient_ids: Sequence[str], cluster_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join images of one patient and images of one cluster, and whatever that links in turn.

    An image may be a near-duplicate of another patient's; then both patients are one group. Equal
    ids in two sources count as one patient: joining too much costs nothing, too little leaks.

    Args:
        patient_ids: (n,), one an image; "" means unknown, and joins nothing.
        cluster_ids: (n,), one an image; an image without near-duplicates has its own id.

    Returns:
        (n,), 0 and up in order of first appearance; equal means: never in two splits.

    >>> join_groups(["a", "b", "", "b"], np.array([0, 1, 1, 2])).tolist()
    [0, 1, 1, 1]
    """
    union_find = UnionFind(len(patient_ids))
    first_of: dict[tuple[str, object], int] = {}
    for image, (patient, cluster) in enumerate(zip(patient_ids, cluster_ids.tolist(), strict=True)):
        union_find.join(image, first_of.setdefault(("cluster", cluster), image))
        if patient:
            union_find.join(image, first_of.setdefault(("patient", patient), image))
    return union_find.number_groups()


# Label conflicts: one image with two classes. At most one of them is right.


def find_label_conflicts(
    cluster_ids: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.bool_]:
    """Find the images whose near-duplicate cluster has more than one class.

    Args:
        cluster_ids: (n,), equal for near-duplicates of each other.
        classes: (n,), class names.

    Returns:
        (n,), true for every image of such a cluster: nobody can say which label is right.

    >>> find_label_conflicts(np.array([0, 0, 1, 1]), ["a", "b", "a", "a"]).tolist()
    [True, True, False, False]
    """
    classes_of: dict[int, set[str]] = {}
    for cluster, name in zip(cluster_ids.tolist(), classes, strict=True):
        classes_of.setdefault(cluster, set()).add(name)
    return np.array([len(classes_of[cluster]) > 1 for cluster in cluster_ids.tolist()], np.bool_)
