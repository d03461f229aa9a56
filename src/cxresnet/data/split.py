"""Splits and folds: whole groups, every class everywhere, the same from the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.data.deal import deal_groups

__all__ = ["assign_folds", "assign_splits", "warn_of_thin_splits"]

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
    parts = deal_groups(
        groups, classes, sources, shares=list(wanted.values()), generator_seed=config.seed
    )
    return np.array(list(wanted), dtype=np.str_)[parts]


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
        folds[rows] = deal_groups(
            groups[rows],
            [classes[row] for row in rows.tolist()],
            [sources[row] for row in rows.tolist()],
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
