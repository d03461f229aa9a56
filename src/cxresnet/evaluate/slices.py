"""Topic: scores by source, view, sex, age and image size: a good mean can hide a bad hospital."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.record import Record
from cxresnet.evaluate.generalisation_gap import EvaluatedSide, measure_generalisation_gaps
from cxresnet.evaluate.results import GeneralisationGap, Headline
from cxresnet.evaluate.scores import build_headline
from cxresnet.evaluate.topic import Estimates, EvaluationInputs, Topic, estimate
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.estimate import format_estimate

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


class Slice(Record):
    """The images of one kind.

    Attributes:
        factor: "source", "view", "sex", "age" or "image size".
        value: For example "PA"; "unknown" where it is not recorded.
        images: How many.
        patients: Independent groups among them.
        headline: Their scores; classes that are absent here are left out of the means. None where
            there are too few patients.
        reason: Why there are no scores, one sentence; "" where there are.
    """

    factor: str
    value: str
    images: int
    patients: int
    headline: Headline | None
    reason: str = ""


class WorstSlice(Record):
    """The slice whose balanced accuracy is furthest below that of all other images.

    Attributes:
        factor: As of the slice.
        value: As of the slice.
        images: How many.
        patients: Independent groups among them.
        score: Balanced accuracy over the classes that both have: "internal" are the other images,
            "external" the slice. The slice was selected for it, so that the interval is too narrow.
        compared: How many slices it is the worst of.
        sentence: Interpretation in plain words.
    """

    factor: str
    value: str
    images: int
    patients: int
    score: GeneralisationGap
    compared: int
    sentence: str


def build_records(inputs: EvaluationInputs, _: Estimates) -> dict[str, Any]:
    """Build the slices, each with a bootstrap of its own, and the worst of them."""
    evaluated, facts = inputs.evaluated, inputs.facts
    groups, config = inputs.group_ids, inputs.config
    found = build_slices(evaluated, facts, group_ids=groups, config=config)
    return {
        "slices": found,
        "worst_slice": find_worst_slice(found, evaluated, facts, group_ids=groups, config=config),
    }


TOPIC = Topic(lambda _: (), build_records)


def build_slices(
    evaluated: ClassifiedImages,
    facts: pd.DataFrame,
    *,
    group_ids: Sequence[str],
    config: EvaluateConfig,
) -> tuple[Slice, ...]:
    """Evaluate the images of each kind separately.

    Args:
        evaluated: The images.
        facts: Rows of the manifest in the same order.
        group_ids: Patient with duplicates, one an image.
        config: Of the intervals, and how many patients are too few for a score.

    Returns:
        By factor, larger slices first; at most 12 of a factor. A factor of which all images have
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
                    factor, str(names[place]), evaluated.select(chosen), groups[chosen], config
                )
            )
    return tuple(slices)


def find_worst_slice(
    slices: Sequence[Slice],
    evaluated: ClassifiedImages,
    facts: pd.DataFrame,
    *,
    group_ids: Sequence[str],
    config: EvaluateConfig,
) -> WorstSlice | None:
    """Find the slice that is furthest below all other images, by balanced accuracy.

    Each slice is compared over the classes that it shares with the other images: a slice without a
    hard class must not look good because of that. Slices that share a single class are left out.

    Args:
        slices: As of `build_slices`, of the same images.
        evaluated: The images.
        facts: Rows of the manifest in the same order.
        group_ids: Patient with duplicates, one an image.
        config: Of the intervals.

    Returns:
        None where fewer than two slices can be compared.
    """
    factors = _list_factors(facts)
    everyone = EvaluatedSide(
        evaluated=evaluated,
        image_ids=tuple(str(number) for number in range(len(group_ids))),
        group_ids=tuple(group_ids),
    )
    compared = []
    for one in slices:
        in_slice = factors[one.factor] == one.value
        pair = (everyone.select(~in_slice), everyone.select(in_slice))
        shared = sorted(pair[0].find_classes() & pair[1].find_classes())
        if one.headline is not None and len(shared) > 1:
            others, own = (_compute_balanced_accuracy(side, shared) for side in pair)
            compared.append((own - others, one, pair))
    if len(compared) < 2:
        return None
    _, worst, pair = min(compared, key=lambda item: item[0])
    scores = measure_generalisation_gaps({"worst": pair}, config=config).by_name["worst"]
    score = next(one for one in scores if one.name == "balanced_accuracy")
    return WorstSlice(
        factor=worst.factor,
        value=worst.value,
        images=worst.images,
        patients=worst.patients,
        score=score,
        compared=len(compared),
        sentence=_describe_worst(worst, score, compared=len(compared)),
    )


def _compute_balanced_accuracy(side: EvaluatedSide, classes: list[int]) -> float:
    """Compute it over some classes, all of which the images show."""
    right = side.evaluated.predicted == side.evaluated.truth
    return float(np.mean([right[side.evaluated.truth == label].mean() for label in classes]))


def find_age_band(age_years: str) -> str:
    """Find the band of an age as the manifest has it: digits, or "" where it is not recorded.

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
    """Find the band of a file's original size in pixels; 0 or less where it is not recorded.

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
    factor: str,
    value: str,
    evaluated: ClassifiedImages,
    groups: NDArray[np.str_],
    config: EvaluateConfig,
) -> Slice:
    patients = len(np.unique(groups))
    reason, headline = "", None
    if patients < config.min_slice_patients:
        counted = "1 patient" if patients == 1 else f"{patients} patients"
        reason = f"Too few: {counted}, fewer than {config.min_slice_patients}."
    else:
        present = np.unique(evaluated.truth).tolist()
        statistics = build_headline_statistics(evaluated, classes=present)
        headline = build_headline(estimate(statistics, group_ids=groups.tolist(), config=config))
    return Slice(
        factor=factor,
        value=value,
        images=len(groups),
        patients=patients,
        headline=headline,
        reason=reason,
    )


def _describe_worst(worst: Slice, score: GeneralisationGap, *, compared: int) -> str:
    name = f"{worst.factor} {worst.value}"
    here, others, difference = score.external, score.internal, score.generalisation_gap
    if here.value is None or others.value is None or difference.value is None:
        return f"The worst of {compared} slices is {name}."
    numbers = (
        f"The worst of {compared} slices, compared with all other images, is {name}: balanced "
        f"accuracy {here.value:.3f} on {worst.images} images, {others.value:.3f} on the others "
        f"over the same classes; difference {format_estimate(difference, signed=True)}."
    )
    if difference.low is None or difference.high is None:
        return f"{numbers} There are too few patients for an interval."
    if difference.low <= 0:
        return f"{numbers} That may be chance: one of {compared} is always the worst."
    return (
        f"{numbers} That is more than chance would give for a slice named beforehand; but the "
        f"worst of {compared} slices is a little low by chance alone."
    )
