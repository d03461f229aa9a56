"""The films that maps are tested on: a fair sample of the test, one a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cxresnet.core.seeding import build_generator
from cxresnet.metrics.classification import Judged

__all__ = ["TrustFilms", "choose_trust_films"]


@dataclass(frozen=True, eq=False)
class TrustFilms:
    """Films, the class explained on each, and what is known of them; no two of one patient.

    Attributes:
        films: (film, row, column), uint8, as prepared.
        images: (film, 1, row, column), float32, normalised.
        targets: Class explained: what the network decided for.
        truth: Class of the label.
        lung_masks: (film, row, column), above 0 in the lungs; empty where not known.
        lesion_masks: (film, row, column), above 0 in the lesions; empty where not known.
        grey_level: One grey level of 255, in the units of `images`.
    """

    films: NDArray[np.uint8]
    images: Tensor
    targets: tuple[int, ...]
    truth: tuple[int, ...]
    lung_masks: NDArray[np.uint8]
    lesion_masks: NDArray[np.uint8]
    grey_level: float

    def __len__(self) -> int:
        return len(self.targets)


def choose_trust_films(
    judged: Judged, *, group_ids: tuple[str, ...], count: int, seed: int
) -> tuple[int, ...]:
    """Choose films by chance, as many of each true class as can be had, one a group.

    Args:
        judged: The films; those without a known class (truth -1) are passed over.
        group_ids: One a film.
        count: At most so many.
        seed: Of the choice.

    Returns:
        Rows, in rising order.
    """
    order = build_generator(seed, "trust films").permutation(len(judged.truth)).tolist()
    waiting = [
        [row for row in order if judged.truth[row] == label]
        for label in range(len(judged.class_names))
    ]
    chosen: list[int] = []
    taken: set[str] = set()
    while any(waiting) and len(chosen) < count:
        for rows in waiting:
            row = _take_next(rows, group_ids, taken)
            if row is not None and len(chosen) < count:
                chosen.append(row)
                taken.add(group_ids[row])
    return tuple(sorted(chosen))


def _take_next(rows: list[int], group_ids: tuple[str, ...], taken: set[str]) -> int | None:
    while rows:
        row = rows.pop(0)
        if group_ids[row] not in taken:
            return row
    return None
