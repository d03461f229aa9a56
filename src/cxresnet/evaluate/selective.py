"""When the network may answer, and when "cannot tell" is the answer.

`selective.json`: for each class the probability from which on it belongs to a film's set, fitted
on validation films, and what came of it on the films that were judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.files import write_json
from cxresnet.evaluate.results import Record, read_record
from cxresnet.evaluate.scores import estimate
from cxresnet.metrics.classification import Judged, build_share
from cxresnet.metrics.conformal import (
    build_prediction_sets,
    compute_expected_coverage,
    fit_set_thresholds,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.risk_coverage import (
    build_risk_coverage_statistic,
    compute_risk_coverage_points,
)
from cxresnet.metrics.statistic import Statistic

__all__ = [
    "CANNOT_TELL",
    "SELECTIVE_NAME",
    "ClassCoverage",
    "RiskPoint",
    "SelectiveResult",
    "evaluate_selectively",
    "name_set",
    "read_selective",
    "write_selective",
]

CANNOT_TELL = "cannot tell"
"""The answer where a film's set does not hold exactly one class."""

SELECTIVE_NAME = "selective.json"
"""Name of the file in a folder that `evaluate` writes."""

_MOST_POINTS = 200
_SHARE_OF_FITS = 0.95
_PROMISE = (
    "The coverage is promised on average over validation films, for films like them; films from "
    "another hospital are not."
)


class ClassCoverage(Record):
    """How often the set holds the true class, for films of one class.

    Attributes:
        class_name: The class.
        threshold: Lowest probability with which the class belongs to a set; 0 is always.
        fitted_on: Validation films of the class.
        fitted_patients: Whom they show; None where an older version did not keep it.
        covered: Share of its judged films whose set holds it.
    """

    class_name: str
    threshold: float
    fitted_on: int
    fitted_patients: int | None = None
    covered: Estimate

    def compute_expected(self, coverage: float) -> tuple[float, float]:
        """Compute where 95 of 100 fits on so few films have their coverage by chance."""
        patients = self.fitted_patients or self.fitted_on
        return compute_expected_coverage(
            self.fitted_on, patients=patients, coverage=coverage, confidence=_SHARE_OF_FITS
        )


class RiskPoint(Record):
    """One point of the risk-coverage curve.

    Attributes:
        coverage: Share of the films that are answered, the surest first, 0 to 1.
        risk: Share of the answers that are wrong.
        confidence: Lowest probability of the class decided for that is still answered.
    """

    coverage: float
    risk: float
    confidence: float


class SelectiveResult(Record):
    """`selective.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Stands on every output.
        name: What was judged, as of the evaluation.
        class_names: In the order of the thresholds.
        coverage: Asked for, of the films of each class.
        classes: One a class, in order.
        answered: Share of the films whose set is one class.
        empty: Share of the films whose set is empty: like no class that validation knew.
        several: Share of the films whose set holds several classes.
        accuracy: Share of right answers if every film is answered.
        accuracy_answered: Share of right answers among the films whose set is one class.
        aurc: Mean risk over all coverages of the risk-coverage curve; lower is better.
        curve: At most 200 points, from the surest film to all.
        notes: Sentences that must stand beside the numbers.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    name: str
    class_names: tuple[str, ...]
    coverage: float
    classes: tuple[ClassCoverage, ...]
    answered: Estimate
    empty: Estimate
    several: Estimate
    accuracy: Estimate
    accuracy_answered: Estimate
    aurc: Estimate
    curve: tuple[RiskPoint, ...]
    notes: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """The notes about these films, without the one that always stands there."""
        return tuple(note for note in self.notes if note != _PROMISE)

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Lowest probabilities that belong to a set, (classes,)."""
        return np.array([one.threshold for one in self.classes])


def evaluate_selectively(
    validation: Judged,
    judged: Judged,
    *,
    validation_group_ids: Sequence[str],
    group_ids: Sequence[str],
    config: EvaluateConfig,
    name: str,
) -> SelectiveResult:
    """Fit the sets on validation films, and see what they do for the films that are judged.

    Args:
        validation: Films that the network did not learn from, at the operating point.
        judged: The films that are judged, at the same operating point.
        validation_group_ids: Patient with duplicates, one a validation film.
        group_ids: Likewise, one a judged film.
        config: The coverage asked for, and the intervals.
        name: What is judged.
    """
    thresholds = fit_set_thresholds(
        validation.probabilities, validation.truth, coverage=config.coverage
    )
    sets = build_prediction_sets(judged.probabilities, thresholds)
    confidence = judged.probabilities[np.arange(len(judged.truth)), judged.predicted]
    wrong = judged.predicted != judged.truth
    statistics = [
        *_list_set_statistics(sets, judged),
        build_risk_coverage_statistic(confidence, wrong),
    ]
    found = estimate(statistics, group_ids=group_ids, config=config, strata=judged.truth)
    groups = np.array(validation_group_ids)
    counts = np.bincount(validation.truth, minlength=len(thresholds))
    classes = tuple(
        ClassCoverage(
            class_name=class_name,
            threshold=float(thresholds[index]),
            fitted_on=int(counts[index]),
            fitted_patients=len(np.unique(groups[validation.truth == index])),
            covered=found[f"covered/{class_name}"],
        )
        for index, class_name in enumerate(judged.class_names)
    )
    return SelectiveResult(
        name=name,
        class_names=judged.class_names,
        coverage=config.coverage,
        classes=classes,
        curve=_build_curve(confidence, wrong),
        notes=_find_notes(classes, promised=config.coverage),
        answered=found["answered"],
        empty=found["empty"],
        several=found["several"],
        accuracy=found["accuracy"],
        accuracy_answered=found["accuracy_answered"],
        aurc=found["aurc"],
    )


def name_set(members: NDArray[np.bool_], class_names: Sequence[str]) -> str:
    """Name the answer that a set gives: its class, or that it cannot tell.

    Args:
        members: Which classes the set holds, (classes,).
        class_names: In order.

    >>> name_set(np.array([False, True]), ("normal", "covid-19"))
    'covid-19'
    >>> name_set(np.array([True, True]), ("normal", "covid-19"))
    'cannot tell'
    """
    return class_names[int(members.argmax())] if members.sum() == 1 else CANNOT_TELL


def write_selective(path: Path, result: SelectiveResult) -> Path:
    """Write `selective.json` whole or not at all; returns the path."""
    return write_json(path, result.model_dump(mode="json"))


def read_selective(path: Path) -> SelectiveResult:
    """Read `selective.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, SelectiveResult, command="cxresnet evaluate RUN")


def _list_set_statistics(sets: NDArray[np.bool_], judged: Judged) -> list[Statistic]:
    everyone = np.ones(len(judged.truth), dtype=bool)
    held = sets[np.arange(len(judged.truth)), judged.truth]
    size = sets.sum(axis=1)
    alone = size == 1
    nothing = "There is no film."
    by_class = [
        build_share(
            f"covered/{class_name}",
            part=held,
            whole=judged.truth == index,
            undefined=f"No film shows {class_name}.",
        )
        for index, class_name in enumerate(judged.class_names)
    ]
    right = judged.predicted == judged.truth
    return [
        *by_class,
        build_share("answered", part=alone, whole=everyone, undefined=nothing),
        build_share("empty", part=size == 0, whole=everyone, undefined=nothing),
        build_share("several", part=size > 1, whole=everyone, undefined=nothing),
        build_share("accuracy", part=right, whole=everyone, undefined=nothing),
        build_share(
            "accuracy_answered", part=held, whole=alone, undefined="No film's set is one class."
        ),
    ]


def _build_curve(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> tuple[RiskPoint, ...]:
    points = compute_risk_coverage_points(confidence, wrong)
    if points is None:
        return ()
    count = len(points.coverage)
    kept = np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int))
    return tuple(
        RiskPoint(
            coverage=float(points.coverage[place]),
            risk=float(points.risk[place]),
            confidence=float(points.confidence[place]),
        )
        for place in kept
    )


def _find_notes(classes: Sequence[ClassCoverage], *, promised: float) -> tuple[str, ...]:
    """Find what must be said: the limits of the promise, and where it was surely broken."""
    notes = [_PROMISE]
    broken = [
        _describe_broken(one, promised)
        for one in classes
        if one.covered.high is not None and one.covered.high < promised
    ]
    if broken:
        notes.append(
            f"Promised {promised:.3f}, not kept for {', '.join(broken)}: too few sets hold "
            "the true class there, so do not rely on them."
        )
    few = [f"{one.class_name} ({one.fitted_on})" for one in classes if one.threshold == 0]
    if few:
        notes.append(
            f"Too few validation films of {', '.join(few)} to promise the coverage: "
            "the class is in every set."
        )
    return tuple(notes)


def _describe_broken(one: ClassCoverage, promised: float) -> str:
    found = one.covered
    low, high = one.compute_expected(promised)
    return (
        f"{one.class_name} ({found.value:.3f}, {found.low:.3f} to {found.high:.3f}, n = {found.n}; "
        f"one fit on {one.fitted_on} films gives {low:.3f} to {high:.3f} by chance)"
    )
