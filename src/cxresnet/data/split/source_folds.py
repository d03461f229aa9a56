"""Leave-one-source-out: which images may be trained on, and which sources can be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.data.dataset.dataset import ImageSet


@dataclass(frozen=True, kw_only=True)
class SourceFold:
    """One source, and whether a network that never saw it can be tested on it.

    Attributes:
        number: 0 and up, in the order of the sources' names.
        source: Its name in the manifest.
        images: Of it.
        patients: Independent groups among them.
        classes: Classes of its images, in the order of the dataset.
        compared: Of these, those that the other sources can teach and be tested on.
        reason: Why it cannot be tested, one sentence; "" where it can.
    """

    number: int
    source: str
    images: int
    patients: int
    classes: tuple[str, ...]
    compared: tuple[str, ...]
    reason: str


def plan_source_folds(
    manifest: pd.DataFrame, *, class_names: Sequence[str]
) -> tuple[SourceFold, ...]:
    """Plan one round for each source.

    A source can be tested if it has two classes or more that the images of the other sources show
    in all three splits: a single class cannot be told from anything, and a class that nobody taught
    cannot be known.

    Args:
        manifest: Of a prepared dataset.
        class_names: In the order of the dataset.
    """
    sources = sorted(manifest["source"].unique())
    return tuple(
        _plan_fold(manifest, number, source, class_names) for number, source in enumerate(sources)
    )


def find_other_images(
    manifest: pd.DataFrame, source: str, *, of: pd.DataFrame | None = None
) -> NDArray[np.bool_]:
    """Find the images that have nothing to do with a source, (images,).

    Images of a group (a patient, a near-duplicate cluster) with images of the source are out: a
    network that learnt from them would have seen the source after all.

    Args:
        manifest: Of the whole dataset.
        source: That is left out.
        of: The rows that are asked about; None for the whole dataset.
    """
    touched = manifest.loc[manifest["source"] == source, "group_id"]
    rows = manifest if of is None else of
    found: NDArray[np.bool_] = ~rows["group_id"].isin(set(touched)).to_numpy(dtype=bool)
    return found


def take_images(image_set: ImageSet, chosen: NDArray[np.bool_]) -> ImageSet:
    """Take some images of a set into memory, without their masks; `chosen` is (images,)."""
    rows = np.flatnonzero(chosen)
    return ImageSet(
        images=image_set.images[rows],
        labels=image_set.labels[rows],
        manifest=image_set.manifest.iloc[rows].reset_index(drop=True),
    )


def _plan_fold(
    manifest: pd.DataFrame, number: int, source: str, class_names: Sequence[str]
) -> SourceFold:
    own = manifest[manifest["source"] == source]
    others = manifest[find_other_images(manifest, source)]
    present = set(own["class_name"])
    known = [set(others.loc[others["split"] == split, "class_name"]) for split in _SPLITS]
    compared = present.intersection(*known)
    return SourceFold(
        number=number,
        source=source,
        images=len(own),
        patients=own["group_id"].nunique(),
        classes=tuple(name for name in class_names if name in present),
        compared=tuple(name for name in class_names if name in compared),
        reason=_find_reason(present, compared, others=len(others)),
    )


_SPLITS = ("train", "val", "test")


def _find_reason(present: set[str], compared: set[str], *, others: int) -> str:
    if not others:
        return "Cannot be tested: without it no image is left to learn from."
    if len(present) < 2:
        (name,) = present
        return (
            f"Cannot be tested: all its images show {name}, so that knowing the source and knowing "
            "the class are the same."
        )
    if len(compared) < 2:
        unknown = ", ".join(sorted(present - compared))
        return (
            f"Cannot be tested: the other sources do not show {unknown} in training, validation "
            "and test, so that fewer than two classes could be compared."
        )
    return ""
