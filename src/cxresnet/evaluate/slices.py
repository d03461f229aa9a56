"""Results by source, view, sex and age: a good mean can hide a bad hospital."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.record import Slice
from cxresnet.evaluate.scores import build_headline, estimate
from cxresnet.metrics.classification import Judged, build_headline_statistics

__all__ = ["AGE_BANDS", "build_slices", "find_age_band"]

AGE_BANDS: tuple[tuple[int, str], ...] = ((18, "0-17"), (40, "18-39"), (65, "40-64"))
"""First age that is too old, and the name of the band; older ones are "65+"."""

_UNKNOWN = "unknown"
_MOST_VALUES = 12


def build_slices(
    judged: Judged, facts: pd.DataFrame, *, group_ids: Sequence[str], config: EvaluateConfig
) -> tuple[Slice, ...]:
    """Judge the films of each kind apart.

    Args:
        judged: The films.
        facts: Rows of the manifest in the same order.
        group_ids: Patient with duplicates, one a film.
        config: Of the intervals.

    Returns:
        By factor, larger slices first; at most 12 of a factor. A factor of which all films have
        the same value is left out: its slice would be the whole.
    """
    groups = np.array(group_ids)
    slices = []
    for factor, values in _list_factors(facts).items():
        names, counts = np.unique(values, return_counts=True)
        if len(names) < 2:
            continue
        for place in np.argsort(-counts, kind="stable")[:_MOST_VALUES]:
            chosen = values == names[place]
            slices.append(
                _build_slice(
                    factor, str(names[place]), judged.select(chosen), groups[chosen], config
                )
            )
    return tuple(slices)


def find_age_band(age_years: str) -> str:
    """Find the band of an age as the manifest has it: digits, or "" where nobody says.

    >>> find_age_band("17"), find_age_band("18"), find_age_band("90"), find_age_band("")
    ('0-17', '18-39', '65+', 'unknown')
    """
    try:
        age = float(age_years)
    except ValueError:
        return _UNKNOWN
    if not 0 <= age < 150:
        return _UNKNOWN
    return next((name for too_old, name in AGE_BANDS if age < too_old), "65+")


def _list_factors(facts: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    columns = {factor: facts[factor].astype(str) for factor in ("source", "view", "sex")}
    columns["age"] = facts["age_years"].astype(str).map(find_age_band)
    return {
        factor: np.array([text or _UNKNOWN for text in column])
        for factor, column in columns.items()
    }


def _build_slice(
    factor: str, value: str, judged: Judged, groups: NDArray[np.str_], config: EvaluateConfig
) -> Slice:
    present = np.unique(judged.truth).tolist()
    statistics = build_headline_statistics(judged, classes=present)
    return Slice(
        factor=factor,
        value=value,
        films=len(groups),
        patients=len(np.unique(groups)),
        headline=build_headline(estimate(statistics, group_ids=groups.tolist(), config=config)),
    )
