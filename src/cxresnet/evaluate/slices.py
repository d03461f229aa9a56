"""Results by source, view, sex, age and image size: a good mean can hide a bad hospital."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.gap import JudgedSide, measure_gaps
from cxresnet.evaluate.results import GapScore, Slice, WorstSlice
from cxresnet.evaluate.scores import build_headline, estimate
from cxresnet.metrics.classification import Judged, build_headline_statistics

__all__ = [
    "AGE_BANDS",
    "SIZE_BANDS",
    "build_slices",
    "find_age_band",
    "find_size_band",
    "find_worst_slice",
]

AGE_BANDS: tuple[tuple[int, str], ...] = ((18, "0-17"), (40, "18-39"), (65, "40-64"))
"""First age that is too old, and the name of the band; older ones are "65+"."""

SIZE_BANDS: tuple[tuple[float, str], ...] = (
    (0.1, "under 0.1 MP"),
    (0.25, "0.1-0.25 MP"),
    (1, "0.25-1 MP"),
    (4, "1-4 MP"),
)
"""First megapixels that are too many, and the name of the band; larger files are "4+ MP"."""

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
        config: Of the intervals, and how many patients are too few for a number.

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


def find_worst_slice(
    slices: Sequence[Slice],
    judged: Judged,
    facts: pd.DataFrame,
    *,
    group_ids: Sequence[str],
    config: EvaluateConfig,
) -> WorstSlice | None:
    """Find the slice that is furthest below all other films, by balanced accuracy.

    Each slice is compared over the classes that it shares with the other films: a slice without a
    hard class must not look good by it. Slices that share a single class are passed over.

    Args:
        slices: As of `build_slices`, of the same films.
        judged: The films.
        facts: Rows of the manifest in the same order.
        group_ids: Patient with duplicates, one a film.
        config: Of the intervals.

    Returns:
        None where fewer than two slices can be compared.
    """
    factors = _list_factors(facts)
    everyone = JudgedSide(
        judged=judged,
        image_ids=tuple(str(number) for number in range(len(group_ids))),
        group_ids=tuple(group_ids),
    )
    compared = []
    for one in slices:
        inside = factors[one.factor] == one.value
        pair = (everyone.select(~inside), everyone.select(inside))
        shared = sorted(pair[0].find_classes() & pair[1].find_classes())
        if one.headline is not None and len(shared) > 1:
            others, own = (_compute_balanced_accuracy(side, shared) for side in pair)
            compared.append((own - others, one, pair))
    if len(compared) < 2:
        return None
    _, worst, pair = min(compared, key=lambda item: item[0])
    scores = measure_gaps({"worst": pair}, config=config).by_name["worst"]
    score = next(one for one in scores if one.name == "balanced_accuracy")
    return WorstSlice(
        factor=worst.factor,
        value=worst.value,
        films=worst.films,
        patients=worst.patients,
        score=score,
        compared=len(compared),
        sentence=_describe_worst(worst, score, compared=len(compared)),
    )


def _compute_balanced_accuracy(side: JudgedSide, classes: list[int]) -> float:
    """Compute it over some classes, all of which the films show."""
    right = side.judged.predicted == side.judged.truth
    return float(np.mean([right[side.judged.truth == label].mean() for label in classes]))


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


def find_size_band(width: int, height: int) -> str:
    """Find the band of a file's size in pixels as it came; 0 or less where nobody says.

    >>> find_size_band(1024, 1024), find_size_band(512, 400), find_size_band(-1, -1)
    ('1-4 MP', '0.1-0.25 MP', 'unknown')
    """
    if min(width, height) <= 0:
        return _UNKNOWN
    megapixels = width * height / 1e6
    return next((name for too_many, name in SIZE_BANDS if megapixels < too_many), "4+ MP")


def _list_factors(facts: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    columns = {factor: facts[factor].astype(str).tolist() for factor in ("source", "view", "sex")}
    columns["age"] = [find_age_band(str(age)) for age in facts["age_years"]]
    sizes = zip(facts["file_width"].tolist(), facts["file_height"].tolist(), strict=True)
    columns["image size"] = [find_size_band(width, height) for width, height in sizes]
    return {
        factor: np.array([text or _UNKNOWN for text in column], dtype=np.str_)
        for factor, column in columns.items()
    }


def _build_slice(
    factor: str, value: str, judged: Judged, groups: NDArray[np.str_], config: EvaluateConfig
) -> Slice:
    patients = len(np.unique(groups))
    reason, headline = "", None
    if patients < config.slice_patients:
        counted = "1 patient" if patients == 1 else f"{patients} patients"
        reason = f"Too few: {counted}, fewer than {config.slice_patients}."
    else:
        present = np.unique(judged.truth).tolist()
        statistics = build_headline_statistics(judged, classes=present)
        headline = build_headline(estimate(statistics, group_ids=groups.tolist(), config=config))
    return Slice(
        factor=factor,
        value=value,
        films=len(groups),
        patients=patients,
        headline=headline,
        reason=reason,
    )


def _describe_worst(worst: Slice, score: GapScore, *, compared: int) -> str:
    name = f"{worst.factor} {worst.value}"
    here, elsewhere, gap = score.external, score.internal, score.gap
    if here.value is None or elsewhere.value is None or gap.value is None:
        return f"The worst of {compared} slices is {name}."
    numbers = (
        f"The worst of {compared} slices, against all other films, is {name}: balanced accuracy "
        f"{here.value:.3f} in {worst.films} films, {elsewhere.value:.3f} in the others over the "
        "same classes"
    )
    if gap.low is None or gap.high is None:
        return f"{numbers}. The patients are too few to say more."
    numbers += f"; difference {gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})."
    if gap.low <= 0:
        return f"{numbers} That may be chance: one of {compared} is always the worst."
    return (
        f"{numbers} More than chance would give a slice named beforehand; "
        f"of {compared} slices, the worst is a little low by chance alone."
    )
