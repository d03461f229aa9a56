"""Union-find: what is joined, step by step, ends up with one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest"]


class Forest:
    """Films on their way into groups, with path halving: near-linear in the number of joins."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find_root(self, film: int) -> int:
        """Find the film that stands for the whole group of a film, its first."""
        parents = self._parents
        while parents[film] != film:
            parents[film] = parents[parents[film]]
            film = parents[film]
        return film

    def join(self, film: int, other: int) -> None:
        """Make one group of the groups of two films."""
        low, high = sorted((self.find_root(film), self.find_root(other)))
        self._parents[high] = low

    def number_groups(self) -> NDArray[np.int64]:
        """Number the groups from 0 in the order of their first films: (films,)."""
        numbers: dict[int, int] = {}
        roots = (self.find_root(film) for film in range(len(self._parents)))
        return np.array([numbers.setdefault(root, len(numbers)) for root in roots], dtype=np.int64)
