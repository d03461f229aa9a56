"""Dealing groups into parts of wanted shares, every class everywhere, the same from the same seed.

Groups are dealt out one after the other, the largest first, equal ones in an order drawn from the
seed. Each goes where it brings the counts nearest to what is wanted, in the sense of chi-square,
for its classes and for its classes within their sources. Last, a class that missed a part is given
its smallest group there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.errors import SplitError
from cxresnet.core.seeding import build_generator

__all__ = ["deal_groups"]


def deal_groups(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    shares: Sequence[float],
    generator_seed: int,
) -> NDArray[np.int64]:
    """Deal groups into parts.

    Args:
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        shares: Of the films, one a part; they add up to 1.
        generator_seed: Of the order among equal groups.

    Returns:
        (n,), the part of each film; no group in two parts, every class in each.

    Raises:
        SplitError: A class has fewer groups than there are parts.
    """
    _require_enough_groups(groups, classes, parts=len(shares))
    _, compact = np.unique(groups, return_inverse=True)
    hand = _Hand(_count_strata(compact, classes, sources), shares=shares)
    order = build_generator(generator_seed, "split", len(shares)).permutation(len(hand.counts))
    sizes = hand.counts[:, : hand.class_count].sum(axis=1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        hand.place(group)
    hand.give_missing_classes()
    return hand.parts[compact]


def _count_strata(
    groups: NDArray[np.int64], classes: Sequence[str], sources: Sequence[str]
) -> tuple[NDArray[np.int64], int]:
    """Count the films of each group by class, then by class within source."""
    class_names, class_of = np.unique(np.array(classes, dtype=np.str_), return_inverse=True)
    _, source_of = np.unique(np.array(sources, dtype=np.str_), return_inverse=True)
    strata, stratum_of = np.unique(source_of * len(class_names) + class_of, return_inverse=True)
    counts = np.zeros((groups.max() + 1, len(class_names) + len(strata)), dtype=np.int64)
    np.add.at(counts, (groups, class_of), 1)
    np.add.at(counts, (groups, len(class_names) + stratum_of), 1)
    return counts, len(class_names)


class _Hand:
    """Groups on their way into parts.

    Attributes:
        counts: (groups, columns), films of each group: a column a class, then one a stratum.
        class_count: Number of the columns that stand for classes.
        parts: (groups,), the part of each group; -1 before it is placed.
    """

    def __init__(self, strata: tuple[NDArray[np.int64], int], *, shares: Sequence[float]) -> None:
        self.counts, self.class_count = strata
        self.parts = np.full(len(self.counts), -1, dtype=np.int64)
        self._wanted = np.outer(np.asarray(shares), self.counts.sum(axis=0))
        self._held = np.zeros_like(self._wanted)

    def place(self, group: int) -> None:
        """Put a group where chi-square falls most; ties go to the part that wants most."""
        columns = np.flatnonzero(self.counts[group])
        films = self.counts[group, columns]
        wanted = self._wanted[:, columns]
        rise = films * (films + 2 * (self._held[:, columns] - wanted)) / wanted
        self._move(group, int(np.lexsort((-wanted[:, 0], rise.sum(axis=1).round(9)))[0]))

    def give_missing_classes(self) -> None:
        """Give every part at least one group of every class.

        Raises:
            SplitError: No group can be moved without leaving another gap.
        """
        for column in range(self.class_count):
            for part in range(len(self._held)):
                if self._held[part, column] == 0:
                    self._move(self._find_spare_group(column), part)

    def _find_spare_group(self, column: int) -> int:
        for group in np.argsort(self.counts.sum(axis=1), kind="stable"):
            if self.counts[group, column]:
                left = self._held[self.parts[group]] - self.counts[group]
                held = self.counts[group, : self.class_count] > 0
                if (left[: self.class_count][held] > 0).all():
                    return int(group)
        raise SplitError(
            "The films cannot be split so that every class is in every split: too many patients "
            "have films of several classes. Lower data.folds, or add films."
        )

    def _move(self, group: int, part: int) -> None:
        if self.parts[group] >= 0:
            self._held[self.parts[group]] -= self.counts[group]
        self._held[part] += self.counts[group]
        self.parts[group] = part


def _require_enough_groups(
    groups: NDArray[np.int64], classes: Sequence[str], *, parts: int
) -> None:
    counts = Counter(name for name, _ in set(zip(classes, groups.tolist(), strict=True)))
    for name, count in sorted(counts.items()):
        if count < parts:
            raise SplitError(
                f"'{name}' has {count} patients or clusters, too few for {parts} parts that share "
                f"none. Add films of '{name}', leave the class out with --classes ignore=…, "
                "or ask for fewer parts (data.folds, data.test_share=0)."
            )
