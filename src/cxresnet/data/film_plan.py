"""Which film goes where: groups, splits, folds and the order of the rows, before anything moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.data import DataConfig
from cxresnet.data.decoded_films import FilmPlace
from cxresnet.data.given_split import keep_given_splits
from cxresnet.data.groups import join_groups
from cxresnet.data.manifest import SPLIT_NAMES, build_manifest
from cxresnet.data.split import (
    assign_folds,
    assign_splits,
    warn_of_thin_splits,
)

__all__ = ["FilmPlan", "plan_films"]

_RECORD_COLUMNS = (
    "image_id", "class_name", "patient_id", "source", "view", "age_years", "sex", "given_split",
)  # fmt: skip


_OUTSIDE = (
    "This is an outside set: all films are sealed until 'cxresnet evaluate' judges a network on "
    "them that was trained elsewhere."
)


@dataclass(frozen=True)
class FilmPlan:
    """Where every film of a dataset goes. All in the order of the manifest's rows.

    The rows of one split follow each other, so that a split is one stretch of `images.npy`.

    Attributes:
        places: The films.
        clusters: (n,), equal for copies of each other.
        groups: (n,), equal for what no split may tear apart.
        splits: (n,), "train", "val" or "test".
        folds: (n,), -1 for none.
    """

    places: tuple[FilmPlace, ...]
    clusters: NDArray[np.int64]
    groups: NDArray[np.int64]
    splits: NDArray[np.str_]
    folds: NDArray[np.int64]

    def build_manifest(
        self, *, lung_mask_rows: NDArray[np.int64], lesion_mask_rows: NDArray[np.int64]
    ) -> pd.DataFrame:
        """Build the manifest, given where the masks went."""
        records = [place.record for place in self.places]
        facts = pd.DataFrame([asdict(place.facts) for place in self.places])
        return build_manifest(
            {name: [getattr(record, name) for record in records] for name in _RECORD_COLUMNS}
            | {str(name): facts[name].tolist() for name in facts.columns}
            | {
                "split": self.splits.tolist(),
                "fold": self.folds.tolist(),
                "group_id": self.groups.tolist(),
                "cluster_id": self.clusters.tolist(),
                "lung_mask_row": lung_mask_rows.tolist(),
                "lesion_mask_row": lesion_mask_rows.tolist(),
            }
        )


def plan_films(
    places: Sequence[FilmPlace], clusters: NDArray[np.int64], *, config: DataConfig
) -> tuple[FilmPlan, tuple[str, ...]]:
    """Split films, and put them in the order of the manifest.

    Args:
        places: The films, sorted by `image_id`.
        clusters: (n,), equal for copies of each other.
        config: How to split.

    Returns:
        The plan, and sentences that the user should hear.

    Raises:
        SplitError: The films cannot be split as asked.
    """
    records = [place.record for place in places]
    classes = [record.class_name for record in records]
    sources = [record.source for record in records]
    groups = join_groups([record.patient_id for record in records], clusters)
    notices: tuple[str, ...] = ()
    if config.outside:
        splits = np.full(len(records), "test")
        notices = (_OUTSIDE,)
    elif config.keep_given_split:
        given = [record.given_split for record in records]
        splits, notices = keep_given_splits(given, groups, classes, sources, config=config)
    else:
        splits = assign_splits(groups, classes, sources, config=config)
    folds = assign_folds(groups, classes, sources, splits, config=config)
    notices += warn_of_thin_splits(groups, classes, splits)
    place_of = {name: number for number, name in enumerate(SPLIT_NAMES)}
    order = np.argsort([place_of[split] for split in splits.tolist()], kind="stable")
    plan = FilmPlan(
        places=tuple(places[row] for row in order.tolist()),
        clusters=clusters[order],
        groups=groups[order],
        splits=splits[order],
        folds=folds[order],
    )
    return plan, notices
