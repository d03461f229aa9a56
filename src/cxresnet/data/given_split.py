"""Splits as films were published with them, kept except where that would leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import SplitError
from cxresnet.data.deal import deal_groups
from cxresnet.data.manifest import SPLIT_NAMES

__all__ = ["keep_given_splits"]


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
    parts = deal_groups(
        groups[rows],
        [classes[row] for row in rows.tolist()],
        [sources[row] for row in rows.tolist()],
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
