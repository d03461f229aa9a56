"""Splits and folds: whole groups, every class everywhere, the same from the same seed.

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

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import SplitError
from cxresnet.core.seeding import build_generator
from cxresnet.data.manifest import SPLIT_NAMES

__all__ = ["assign_folds", "assign_splits", "keep_given_splits", "warn_of_thin_splits"]

GROUPS_FOR_AN_INTERVAL = 30
"""With fewer groups of a class in the test split, its interval is too wide to say much."""


def assign_splits(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> NDArray[np.str_]:
    """Assign every film to train, val or test, afresh.

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
    parts = _deal(
        groups, classes, sources, shares=list(wanted.values()), generator_seed=config.seed
    )
    return np.array(list(wanted), dtype=np.str_)[parts]


def keep_given_splits(
    given: Sequence[str],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Keep the splits that the films were published with, except where that would leak.

    A group that lies in two given splits goes to train as a whole. Films that were given no split
    go to train, too. If no film was given "val", validation is taken out of train.

    Args:
        given: (n,) of "train", "val", "test" or "".
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        config: Says the share of the validation and the seed.

    Returns:
        (n,) of "train", "val", "test", and sentences about what was changed.

    Raises:
        SplitError: No film was given "test" or "train", or a class misses a split.
    """
    named = set(given)
    if not {"train", "test"} <= named:
        raise SplitError(
            "The films come without a given train and test split, so there is none to keep. "
            "Leave data.keep_given_split off, and they are split afresh."
        )
    splits, notices = _move_crossing_groups(np.array(given, dtype=np.str_), groups)
    if "val" not in named:
        _take_validation_out(splits, groups, classes, sources, config=config)
        notices.append("No film was given a validation split; it was taken out of the given train.")
    _require_every_class(splits, classes)
    return splits, tuple(notices)


def assign_folds(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    splits: NDArray[np.str_],
    *,
    config: DataConfig,
) -> NDArray[np.int64]:
    """Assign every film outside of the test split to a fold of the cross-validation.

    Args:
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        splits: (n,), as of `assign_splits`.
        config: Says the number of folds and the seed.

    Returns:
        (n,), the fold, 0 and up; -1 for films of the test split, and for all if there are no folds.

    Raises:
        SplitError: A class has fewer groups than there are folds.
    """
    folds = np.full(len(groups), -1, dtype=np.int64)
    if config.folds:
        rows = np.flatnonzero(splits != "test")
        folds[rows] = _deal(
            groups[rows],
            _take(classes, rows),
            _take(sources, rows),
            shares=[1 / config.folds] * config.folds,
            generator_seed=config.seed,
        )
    return folds


def warn_of_thin_splits(
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


def _deal(
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    shares: Sequence[float],
    generator_seed: int,
) -> NDArray[np.int64]:
    """Deal groups into parts of the wanted shares; returns the part of each film."""
    _require_enough_groups(groups, classes, parts=len(shares))
    _, compact = np.unique(groups, return_inverse=True)
    hand = _Hand(_count_strata(compact, classes, sources), shares=shares)
    order = build_generator(generator_seed, "split", len(shares)).permutation(len(hand.counts))
    sizes = hand.counts[:, : hand.class_count].sum(axis=1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        hand.place(group)
    hand.give_missing_classes()
    return hand.parts[compact]


def _take(values: Sequence[str], rows: NDArray[np.intp]) -> list[str]:
    return [values[row] for row in rows.tolist()]


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


def _move_crossing_groups(
    given: NDArray[np.str_], groups: NDArray[np.int64]
) -> tuple[NDArray[np.str_], list[str]]:
    notices = []
    splits = given.copy()
    homeless = given == ""
    if homeless.any():
        notices.append(f"{homeless.sum()} films were given no split and went to train.")
        splits[homeless] = "train"
    pairs = set(zip(groups.tolist(), splits.tolist(), strict=True))
    counts = Counter(group for group, _ in pairs)
    crossing = np.array([counts[group] > 1 for group in groups.tolist()], dtype=np.bool_)
    if crossing.any():
        amount = len(np.unique(groups[crossing]))
        taken = int((crossing & (splits == "test")).sum())
        notices.append(
            f"{amount} patients or clusters of copies lay in several given splits; all "
            f"{crossing.sum()} films of theirs went to train, {taken} of them out of the test."
        )
        splits[crossing] = "train"
    return splits, notices


def _take_validation_out(
    splits: NDArray[np.str_],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> None:
    rows = np.flatnonzero(splits == "train")
    parts = _deal(
        groups[rows],
        _take(classes, rows),
        _take(sources, rows),
        shares=[1 - config.val_share, config.val_share],
        generator_seed=config.seed,
    )
    splits[rows[parts == 1]] = "val"


def _require_every_class(splits: NDArray[np.str_], classes: Sequence[str]) -> None:
    there = set(zip(splits.tolist(), classes, strict=True))
    for split in SPLIT_NAMES:
        for name in sorted(set(classes)):
            if (split, name) not in there:
                raise SplitError(
                    f"The given {split} split has no film of '{name}' that may stay there. "
                    "Leave data.keep_given_split off, and the films are split afresh."
                )
