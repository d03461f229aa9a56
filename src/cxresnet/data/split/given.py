"""The published split of a dataset, kept except where that would leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import SplitError
from cxresnet.data.manifest import SPLIT_NAMES
from cxresnet.data.split.split import assign_groups


def keep_given_splits(
    given: Sequence[str],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Keep the splits that the images were published with, except where that would leak.

    A group that lies in two given splits goes to train as a whole. Images that were given no split
    go to train, too. If no image was given "val", validation is taken out of train.

    Args:
        given: (n,) of "train", "val", "test" or "".
        groups: (n,), as of `join_groups`.
        classes: (n,), class names.
        sources: (n,).
        config: Says the share of the validation and the seed.

    Returns:
        (n,) of "train", "val", "test", and sentences about what was changed.

    Raises:
        SplitError: No image was given "test" or "train", or a class misses a split.
    """
    named = set(given)
    if not {"train", "test"} <= named:
        raise SplitError(
            "The images have no published train and test split that could be kept. "
            "Turn data.keep_given_split off to split them again."
        )
    splits, warnings = _move_crossing_groups(np.array(given, dtype=np.str_), groups)
    if "val" not in named:
        _split_off_validation(splits, groups, classes, sources, config=config)
        warnings.append(
            "The published split has no validation part; it was taken from the training part."
        )
    _require_every_class(splits, classes)
    return splits, tuple(warnings)


def _move_crossing_groups(
    given: NDArray[np.str_], groups: NDArray[np.int64]
) -> tuple[NDArray[np.str_], list[str]]:
    warnings = []
    splits = given.copy()
    without_split = given == ""
    if without_split.any():
        warnings.append(f"{without_split.sum()} images had no published split and went to train.")
        splits[without_split] = "train"
    pairs = set(zip(groups.tolist(), splits.tolist(), strict=True))
    counts = Counter(group for group, _ in pairs)
    crossing = np.array([counts[group] > 1 for group in groups.tolist()], dtype=np.bool_)
    if crossing.any():
        amount = len(np.unique(groups[crossing]))
        taken = int((crossing & (splits == "test")).sum())
        warnings.append(
            f"{amount} patients or near-duplicate clusters were in several given splits; all "
            f"{crossing.sum()} images of theirs went to train, {taken} of them out of the test."
        )
        splits[crossing] = "train"
    return splits, warnings


def _split_off_validation(
    splits: NDArray[np.str_],
    groups: NDArray[np.int64],
    classes: Sequence[str],
    sources: Sequence[str],
    *,
    config: DataConfig,
) -> None:
    rows = np.flatnonzero(splits == "train")
    subsets = assign_groups(
        groups[rows],
        [classes[row] for row in rows.tolist()],
        [sources[row] for row in rows.tolist()],
        shares=[1 - config.val_share, config.val_share],
        generator_seed=config.seed,
    )
    splits[rows[subsets == 1]] = "val"


def _require_every_class(splits: NDArray[np.str_], classes: Sequence[str]) -> None:
    there = set(zip(splits.tolist(), classes, strict=True))
    for split in SPLIT_NAMES:
        for name in sorted(set(classes)):
            if (split, name) not in there:
                raise SplitError(
                    f"The given {split} split has no image of '{name}' that may stay there. "
                    "Turn data.keep_given_split off to split the images again."
                )
