"""How well two classes are told from each other, whatever the others do."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cxresnet.metrics.classification import Judged
from cxresnet.metrics.ranking import Auroc
from cxresnet.metrics.statistic import Statistic

__all__ = ["build_pair_statistics"]

_SMALLEST = np.finfo(np.float64).tiny


def build_pair_statistics(judged: Judged) -> tuple[Statistic, ...]:
    """Build the area under the ROC curve of every pair of classes, on their films alone.

    The score is the ratio of the two probabilities, so that what the network gives to a third class
    does not matter. Names are `auroc_FIRST_vs_SECOND`, in the order of the classes.

    References:
        Hand and Till 2001, who take the mean over all pairs.
    """
    return tuple(
        _build_pair(judged, first, second)
        for first, second in itertools.combinations(range(len(judged.class_names)), 2)
    )


def _build_pair(judged: Judged, first: int, second: int) -> Statistic:
    shows_first, shows_second = judged.truth == first, judged.truth == second
    logs = np.log(np.maximum(judged.probabilities[:, [first, second]], _SMALLEST))
    area = Auroc(shows_second, logs[:, 1] - logs[:, 0])
    names = judged.class_names
    return Statistic(
        name=f"auroc_{names[first]}_vs_{names[second]}",
        compute=partial(_compute_among, area, shows_first | shows_second),
        parts=(shows_first, shows_second),
        undefined=f"There are no films of {names[first]} or of {names[second]}.",
    )


def _compute_among(
    area: Auroc, chosen: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    return area(weights * chosen)
