"""Question 8: does the model's error follow age, view or sex within a class?

Within one class, so that a group in which the disease is rarer does not look like one in which the
model is better. Each comparison is of patients with a property and of the others of that class:
below and above its median age, each view and the others, women and men.

References:
    Larrazabal et al. 2020 (PNAS), on sex. Seyyed-Kalantari et al. 2021 (Nature Medicine), on groups
    of patients in whom disease is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxresnet.audit.context import (
    EACH_END_CONFIDENCE,
    STRICT_CONFIDENCE,
    AuditContext,
    CannotBeTestedError,
)
from cxresnet.audit.question import QuestionAnswer, build_measure, register_question
from cxresnet.core.finding import Measure, Verdict
from cxresnet.metrics.estimate import (
    Estimate,
    correct_confidence,
    format_estimate,
    subtract_estimates,
)
from cxresnet.metrics.statistic import Key, build_mean
from cxresnet.shortcuts.features import list_views

_NAME = "patient_groups"
_PROPERTIES = ("age", "view", "sex")
_MIN_SHARE = 0.05
_ENOUGH_PATIENTS = 20
_RED_DIFFERENCE = 0.1
_NEGLIGIBLE = 0.05
_SHOWN_BELOW = 0.2
_VALUES = ("error", "probability")


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Some images of a class, and others of it.

    Attributes:
        label: The class.
        of: "age", "view" or "sex".
        names: What the two have in common, for people.
        sides: Masks of the images, (images,).
    """

    label: int
    of: str
    names: tuple[str, str]
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    def count_fewest(self, groups: NDArray[np.str_]) -> int:
        """Count the patients of the smaller side."""
        return min(len(set(groups[side].tolist())) for side in self.sides)


@dataclass(frozen=True, eq=False)
class MeasuredComparison:
    """How the model does on the two sides of a comparison.

    Attributes:
        compared: The two sides.
        class_name: Their class.
        errors: Share of wrong decisions on each side.
        probabilities: Mean probability of the true class on each side.
        error: Difference of the errors, first minus second; 95 % over all comparisons.
        strict: The same, 99 % over all comparisons.
        each_end: The same, each end with 95 %, of this comparison alone.
        probability: Difference of the probabilities; 95 % over all comparisons.
        is_large: Whether there are patients enough on both sides.
    """

    compared: GroupComparison
    class_name: str
    errors: tuple[float, float]
    probabilities: tuple[float, float]
    error: Estimate
    strict: Estimate
    each_end: Estimate
    probability: Estimate
    is_large: bool

    @property
    def verdict(self) -> Verdict:
        """As the threshold of the question says, for this comparison."""
        if _find_distance(self.strict) > _RED_DIFFERENCE:
            return "red"
        if self.is_different:
            return "amber"
        return "green" if self.is_large and self._is_shown_small else "amber"

    @property
    def is_different(self) -> bool:
        """Whether a difference was found that is not negligible."""
        return any(
            _find_distance(one) > 0 and abs(one.value or 0.0) >= _NEGLIGIBLE
            for one in (self.error, self.probability)
        )

    @property
    def _is_shown_small(self) -> bool:
        low, high = self.each_end.low, self.each_end.high
        return low is not None and high is not None and low > -_SHOWN_BELOW and high < _SHOWN_BELOW


@register_question(
    _NAME,
    number=8,
    title="Does the error follow age, view or sex within a class?",
    threshold="Patients below and above the median age of their class, each view and the others, "
    "women and men; groups of less than 5 % of a class are left out. Red where the share of errors "
    "differs by more than 0.1 (99 % interval over all comparisons), amber where it, or the mean "
    "probability of the true class, differs by 0.05 or more and the 95 % interval excludes 0. "
    "Green only where each group has at least 20 patients, and a difference of 0.2 is ruled out.",
    next_step="Report the scores of these groups by themselves, and add images of the group that "
    "does worse.",
)
def answer_patient_groups(context: AuditContext) -> QuestionAnswer:
    """Compare errors and probabilities between groups of patients within each class."""
    manifest = context.test.manifest
    comparisons = list_comparisons(manifest, context.truth)
    if not comparisons:
        raise CannotBeTestedError(
            "Neither age, view nor sex is recorded so that groups could be compared. Name these "
            "columns of the source's table when you prepare the dataset (--columns)."
        )
    measured = measure_comparisons(context, comparisons)
    missing = _find_missing(manifest, comparisons, context)
    verdict: Verdict = max(
        ["amber" if missing else "green", *(one.verdict for one in measured)],
        key=("green", "amber", "red").index,
    )
    return QuestionAnswer(
        verdict,
        _describe(measured, verdict, missing),
        tuple(_list_measures(sorted(measured, key=_by_light))),
    )


# Which groups.


def list_comparisons(
    manifest: pd.DataFrame, labels: NDArray[np.int64]
) -> tuple[GroupComparison, ...]:
    """List what can be compared within each class.

    Args:
        manifest: With the columns `age_years`, `view` and `sex`; "" where one is not recorded.
        labels: Class of each image, (images,).

    Returns:
        By class and property; both sides hold at least 5 % of the images of the class.
    """
    found = [
        GroupComparison(int(label), of, names, (first & within, second & within))
        for label in np.unique(labels)
        for within in [labels == label]
        for of, names, first, second in _list_groups(manifest, within)
    ]
    return tuple(
        one
        for one in found
        if min(side.sum() for side in one.sides)
        >= max(1.0, _MIN_SHARE * (labels == one.label).sum())
    )


_Group = tuple[str, tuple[str, str], NDArray[np.bool_], NDArray[np.bool_]]


def _list_groups(manifest: pd.DataFrame, within: NDArray[np.bool_]) -> Iterator[_Group]:
    """List property, names and the two sides, also of the images of other classes."""
    ages = _read_ages(manifest)
    known = within & ~np.isnan(ages)
    if known.any():
        median = float(np.median(ages[known]))
        names = (f"aged {median:.0f} or more", "younger")
        yield "age", names, ages >= median, ages < median
    views = manifest["view"].to_numpy(dtype=str)
    present = list_views(manifest[within])
    for view in present[:1] if len(present) == 2 else present:
        other = next(one for one in present if one != view) if len(present) == 2 else "other views"
        yield "view", (view, other), views == view, np.isin(views, present) & (views != view)
    sexes = manifest["sex"].to_numpy(dtype=str)
    yield "sex", ("women", "men"), sexes == "F", sexes == "M"


def _read_ages(manifest: pd.DataFrame) -> NDArray[np.float64]:
    return pd.to_numeric(manifest["age_years"], errors="coerce").to_numpy(dtype=np.float64)


def _find_missing(
    manifest: pd.DataFrame, comparisons: Sequence[GroupComparison], context: AuditContext
) -> list[str]:
    """Find what is recorded for most images, but cannot be compared in each class."""
    recorded = {
        "age": ~np.isnan(_read_ages(manifest)),
        "view": (manifest["view"] != "").to_numpy(),
        "sex": (manifest["sex"] != "").to_numpy(),
    }
    compared = {(one.label, one.of) for one in comparisons}
    varying = {one.of for one in comparisons}
    return [
        f"{of} in {context.class_names[label]}"
        for of in _PROPERTIES
        if of in varying and recorded[of].mean() >= 0.5
        for label in np.unique(context.truth).tolist()
        if (label, of) not in compared
    ]


# What is measured.


def measure_comparisons(
    context: AuditContext, comparisons: Sequence[GroupComparison]
) -> tuple[MeasuredComparison, ...]:
    """Measure error and probability of the true class on both sides of each comparison."""
    rows = np.arange(len(context.truth))
    values = {
        "error": (context.predicted != context.truth).astype(np.float64),
        "probability": context.probabilities[rows, context.truth],
    }
    means = [
        build_mean((number, name, side), np.where(one.sides[side], values[name], np.nan))
        for number, one in enumerate(comparisons)
        for name in _VALUES
        for side in (0, 1)
    ]
    tests = len(comparisons) * len(_VALUES)
    normal, strict, each_end = (
        context.estimate(means, groups=context.groups, purpose=_NAME, confidence=confidence)
        for confidence in (
            correct_confidence(0.95, tests),
            correct_confidence(STRICT_CONFIDENCE, tests),
            EACH_END_CONFIDENCE,
        )
    )
    return tuple(
        MeasuredComparison(
            compared=one,
            class_name=context.class_names[one.label],
            errors=_get_values(normal, number, "error"),
            probabilities=_get_values(normal, number, "probability"),
            error=_subtract(normal, number, "error"),
            strict=_subtract(strict, number, "error"),
            each_end=_subtract(each_end, number, "error"),
            probability=_subtract(normal, number, "probability"),
            is_large=one.count_fewest(context.groups) >= _ENOUGH_PATIENTS,
        )
        for number, one in enumerate(comparisons)
    )


def _get_values(estimates: dict[Key, Estimate], number: int, name: str) -> tuple[float, float]:
    first, second = (estimates[number, name, side].value or 0.0 for side in (0, 1))
    return first, second


def _subtract(estimates: dict[Key, Estimate], number: int, name: str) -> Estimate:
    return subtract_estimates(estimates[number, name, 0], estimates[number, name, 1])


def _find_distance(difference: Estimate) -> float:
    """Find how far the whole interval is from 0; 0 where it includes it, or there is none."""
    if difference.low is None or difference.high is None:
        return 0.0
    return max(0.0, difference.low, -difference.high)


# What is said of it.


def _describe(
    measured: Sequence[MeasuredComparison], verdict: Verdict, missing: Sequence[str]
) -> str:
    different = [one for one in measured if one.is_different]
    red = [one for one in measured if one.verdict == "red"]
    worst = max(red or different or measured, key=lambda one: abs(one.error.value or 0.0))
    sentence = (
        f"Errors among images of {worst.class_name}: {_show(worst)}; difference "
        f"{format_estimate(worst.error, digits=2, signed=True)}, the clearest of "
        f"{len(measured)} comparisons and corrected for their number."
    )
    if verdict == "red":
        return f"{sentence} The error follows a property of the patient that is not the disease."
    if different:
        names = ", ".join(
            dict.fromkeys(f"{one.compared.of} in {one.class_name}" for one in different)
        )
        return f"{sentence} Errors or probabilities differ by {names}."
    if verdict == "green":
        return f"{sentence} No group does clearly worse, and a difference of 0.2 is ruled out."
    few = sum(one.verdict == "amber" for one in measured)
    absent = f" Not compared: {', '.join(missing)}." if missing else ""
    return (
        f"{sentence} No difference is shown, but in {few} comparisons there are too few patients "
        f"to rule one out.{absent}"
    )


def _show(one: MeasuredComparison) -> str:
    return ", ".join(
        f"{name} {100 * error:.0f} % (n = {int(side.sum())})"
        for error, name, side in zip(
            one.errors, one.compared.names, one.compared.sides, strict=True
        )
    )


def _by_light(one: MeasuredComparison) -> tuple[bool, bool, float]:
    """Put first what the verdict rests on: red, then what differs, then the largest difference."""
    return one.verdict != "red", not one.is_different, -abs(one.error.value or 0.0)


def _list_measures(measured: Sequence[MeasuredComparison]) -> Iterator[Measure]:
    for one in measured:
        first, second = one.compared.names
        yield build_measure(
            f"Share of errors in {one.class_name}, {first} minus {second}",
            one.error,
            note=f"mean probability of the class: {one.probabilities[0]:.2f} and "
            f"{one.probabilities[1]:.2f}",
        )
