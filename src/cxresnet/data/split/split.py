"""Splits and folds: stratified, of whole groups, reproducible from the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import SplitError
from cxresnet.core.seeding import build_generator

# Stratified assignment of whole groups to parts of given shares, every class in every part.
#
# Groups are assigned one after the other, the largest first, equal ones in an order drawn from the
# seed. Each goes where it brings the counts nearest to the expected ones (by chi-square), for its
# classes and for its classes within their sources. Last, a class that is missing from a part gets
# its smallest group there.


def assign_groups(
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
        shares: Of the images, one a part; they add up to 1.
        generator_seed: Of the order among equal groups.

    Returns:
        (n,), the part of each image; no group in two parts, every class in each.

    Raises:
        SplitError: A class has fewer groups than there are parts.
    """
    _require_enough_groups(groups, classes, subsets=len(shares))
    _, compact = np.unique(groups, return_inverse=True)
    assignment = _GroupAssignment(_count_strata(compact, classes, sources), shares=shares)
    order = build_generator(generator_seed, "split", len(shares)).permutation(
        len(assignment.counts)
    )
    sizes = assignment.counts[:, : assignment.class_count].sum(axis=1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        assignment.place(group)
    assignment.assign_missing_classes()
    return assignment.subsets[compact]


def _count_strata(
    groups: NDArray[np.int64], classes: Sequence[str], sources: Sequence[str]
) -> tuple[NDArray[np.int64], int]:
    """Count the images of each group by class, then by class within source."""
    class_names, class_of = np.unique(np.array(classes, dtype=np.str_), return_inverse=True)
    _, source_of = np.unique(np.array(sources, dtype=np.str_), return_inverse=True)
    strata, stratum_of = np.unique(source_of * len(class_names) + class_of, return_inverse=True)
    counts = np.zeros((groups.max() + 1, len(class_names) + len(strata)), dtype=np.int64)
    np.add.at(counts, (groups, class_of), 1)
    np.add.at(counts, (groups, len(class_names) + stratum_of), 1)
    return counts, len(class_names)


class _GroupAssignment:
    """Groups on their way into parts.

    Attributes:
        counts: (groups, columns), images of each group: a column a class, then one a stratum.
        class_count: Number of the columns that stand for classes.
        subsets: (groups,), the part of each group; -1 before it is placed.
    """

    def __init__(self, strata: tuple[NDArray[np.int64], int], *, shares: Sequence[float]) -> None:
        self.counts, self.class_count = strata
        self.subsets = np.full(len(self.counts), -1, dtype=np.int64)
        self._wanted = np.outer(np.asarray(shares), self.counts.sum(axis=0))
        self._held = np.zeros_like(self._wanted)

    def place(self, group: int) -> None:
        """Put a group where chi-square falls most; ties go to the part that wants most."""
        columns = np.flatnonzero(self.counts[group])
        images = self.counts[group, columns]
        wanted = self._wanted[:, columns]
        rise = images * (images + 2 * (self._held[:, columns] - wanted)) / wanted
        self._move(group, int(np.lexsort((-wanted[:, 0], rise.sum(axis=1).round(9)))[0]))

    def assign_missing_classes(self) -> None:
        """Give every part at least one group of every class.

        Raises:
            SplitError: No group can be moved without leaving another gap.
        """
        for column in range(self.class_count):
            for subset in range(len(self._held)):
                if self._held[subset, column] == 0:
                    self._move(self._find_spare_group(column), subset)

    def _find_spare_group(self, column: int) -> int:
        for group in np.argsort(self.counts.sum(axis=1), kind="stable"):
            if self.counts[group, column]:
                left = self._held[self.subsets[group]] - self.counts[group]
                held = self.counts[group, : self.class_count] > 0
                if (left[: self.class_count][held] > 0).all():
                    return int(group)
        raise SplitError(
            "The images cannot be split so that every class is in every split: too many patients "
            "have images of several classes. Lower data.folds, or add images."
        )

    def _move(self, group: int, subset: int) -> None:
        if self.subsets[group] >= 0:
            self._held[self.subsets[group]] -= self.counts[group]
        self._held[subset] += self.counts[group]
        self.subsets[group] = subset


def _require_enough_groups(
    groups: NDArray[np.int64], classes: Sequence[str], *, subsets: int
) -> None:
    counts = Counter(name for name, _ in set(zip(classes, groups.tolist(), strict=True)))
    for name, count in sorted(counts.items()):
        if count < subsets:
            raise SplitError(
                f"'{name}' has {count} patients or clusters, too few for {subsets} separate "
                f"parts. Add images of '{name}', leave the class out with --classes ignore=…, "
                "or use fewer parts (data.folds, data.test_share=0)."
            )


GROUPS_FOR_AN_INTERVAL = 30
"""With fewer groups of a class in the test split, its interval is too wide to be useful."""


def assign_splits(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> NDArray[np.str_]:
    """Assign every image to train, val or test, afresh.

    Args:
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        config: Says the shares and the seed.

    Returns:
        (n,) of "train", "val", "test"; no group in two of them, every class in each.

    Raises:
        SplitError: A class has fewer groups than there are splits.
    """
    shares = {
        "train": 1 - config.val_share - config.test_share,
        "val": config.val_share,
        "test": config.test_share,
    }
    wanted = {name: share for name, share in shares.items() if share > 0}
    subsets = assign_groups(
        groups, classes, sources, shares=list(wanted.values()), generator_seed=config.seed
    )
    return np.array(list(wanted), dtype=np.str_)[subsets]


def assign_folds(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    splits: NDArray[np.str_],
    *,
    config: DataConfig,
) -> NDArray[np.int64]:
    """Assign every image outside of the test split to a fold of the cross-validation.

    Args:
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        splits: (n,), as of `assign_splits`.
        config: Says the number of folds and the seed.

    Returns:
        (n,), the fold, 0 and up; -1 for images of the test split, and for all if there are no
        folds.

    Raises:
        SplitError: A class has fewer groups than there are folds.
    """
    folds = np.full(len(groups), -1, dtype=np.int64)
    if config.folds:
        rows = np.flatnonzero(splits != "test")
        folds[rows] = assign_groups(
            groups[rows],
            [classes[row] for row in rows.tolist()],
            [sources[row] for row in rows.tolist()],
            shares=[1 / config.folds] * config.folds,
            generator_seed=config.seed,
        )
    return folds


def warn_of_small_splits(
    groups: NDArray[np.int64], classes: Sequence[str], splits: NDArray[np.str_]
) -> tuple[str, ...]:
    """Say which classes have too few groups in the test split for a useful interval."""
    in_test = {
        (name, group)
        for name, group, split in zip(classes, groups.tolist(), splits.tolist(), strict=True)
        if split == "test"
    }
    counts = Counter(name for name, _ in in_test)
    return tuple(
        f"The test split has only {counts[name]} patients or clusters of '{name}'; intervals for "
        f"it will be wide (at least {GROUPS_FOR_AN_INTERVAL} are wanted)."
        for name in sorted(set(classes))
        if in_test and counts[name] < GROUPS_FOR_AN_INTERVAL
    )
