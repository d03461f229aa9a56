"""Abstention: prediction sets fitted on validation images, and their result on evaluated images.

`selective.json` has the coverage of the sets, and the accuracy where one class is decided on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet import DISCLAIMER
from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.record import Record, read_record, write_record
from cxresnet.evaluate.topic import Estimates, estimate
from cxresnet.metrics.classification import ClassifiedImages, build_share
from cxresnet.metrics.conformal import (
    build_prediction_sets,
    build_risk_coverage_statistic,
    compute_expected_coverage,
    compute_risk_coverage_points,
    fit_set_thresholds,
)
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Statistic

SELECTIVE_NAME = "selective.json"
"""Name of the file in a folder that `evaluate` writes."""

_MOST_POINTS = 200
_SHARE_OF_FITS = 0.95
_COVERAGE_NOTE = (
    "The nominal coverage holds on average over draws of validation images, and for images like "
    "them; it does not hold for images from another hospital."
)


class ClassCoverage(Record):
    """How often the set holds the true class, for images of one class.

    Attributes:
        class_name: The class.
        threshold: Lowest probability with which the class belongs to a set; 0 is always.
        calibration_images: Validation images of the class.
        calibration_patients: Independent groups among them; None where not recorded.
        empirical_coverage: Share of its evaluated images whose set holds it.
    """

    class_name: str
    threshold: float
    calibration_images: int
    calibration_patients: int | None = None
    empirical_coverage: Estimate

    def compute_expected(self, coverage: float) -> tuple[float, float]:
        """Compute the range of the coverage of 95 in 100 fits on so few images, by chance."""
        return compute_expected_coverage(
            self.calibration_images,
            patients=self.calibration_patients or self.calibration_images,
            coverage=coverage,
            confidence=_SHARE_OF_FITS,
        )


class RiskPoint(Record):
    """One point of the risk-coverage curve.

    Attributes:
        coverage: Share of the images that are decided on, the most confident first, 0 to 1.
        risk: Share of these decisions that are wrong.
        confidence: Lowest probability of the predicted class that is still decided on.
    """

    coverage: float
    risk: float
    confidence: float


class SelectiveResult(Record):
    """`selective.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Part of every output.
        name: Name of the evaluated images, as of the evaluation.
        class_names: In the order of the thresholds.
        coverage: Nominal coverage for the images of each class.
        classes: One a class, in order.
        decided: Share of the images whose set is one class.
        empty: Share of the images whose set is empty: unlike the validation images of every class.
        several: Share of the images whose set holds several classes.
        accuracy: Share of correct decisions if every image is decided on.
        selective_accuracy: Share of correct decisions among the images whose set is one class.
        aurc: Mean risk over all coverages of the risk-coverage curve; lower is better.
        curve: At most 200 points, from the most confident image to all.
        notes: Sentences that must stand beside the numbers.
    """

    format: Literal[2] = 2
    disclaimer: str = DISCLAIMER
    name: str
    class_names: tuple[str, ...]
    coverage: float
    classes: tuple[ClassCoverage, ...]
    decided: Estimate
    empty: Estimate
    several: Estimate
    accuracy: Estimate
    selective_accuracy: Estimate
    aurc: Estimate
    curve: tuple[RiskPoint, ...]
    notes: tuple[str, ...]

    @property
    def caveats(self) -> tuple[str, ...]:
        """The notes about these images, without the one that is always there."""
        return tuple(note for note in self.notes if note != _COVERAGE_NOTE)

    def describe(self) -> str:
        """Describe in one sentence what abstention does."""
        decided = round((self.decided.value or 0.0) * self.decided.n)
        return (
            f"With abstention ({self.coverage:.0%} class-conditional coverage) it decides on "
            f"{decided} of {self.decided.n} images; accuracy on these "
            f"{format_estimate(self.selective_accuracy)}, on all images "
            f"{format_estimate(self.accuracy)}."
        )

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Lowest probabilities that belong to a set, (classes,)."""
        return np.array([one.threshold for one in self.classes])


def evaluate_selectively(
    validation: ClassifiedImages,
    evaluated: ClassifiedImages,
    *,
    validation_group_ids: Sequence[str],
    group_ids: Sequence[str],
    config: EvaluateConfig,
    name: str,
    set_thresholds: Sequence[float] | None = None,
) -> SelectiveResult:
    """Measure coverage of prediction sets, and accuracy with abstention, on evaluated images.

    Args:
        validation: Images that the network was not trained on, at the operating point.
        evaluated: The evaluated images, at the same operating point.
        validation_group_ids: Patient with duplicates, one a validation image.
        group_ids: Likewise, one an evaluated image.
        config: Nominal coverage, and the intervals.
        name: Name of the evaluated images.
        set_thresholds: As of the `Decision`; None fits them on the validation images.
    """
    thresholds = (
        fit_set_thresholds(validation.probabilities, validation.truth, coverage=config.coverage)
        if set_thresholds is None
        else np.array(set_thresholds)
    )
    sets = build_prediction_sets(evaluated.probabilities, thresholds)
    confidence = evaluated.probabilities[np.arange(len(evaluated.truth)), evaluated.predicted]
    wrong = evaluated.predicted != evaluated.truth
    statistics = [
        *_list_set_statistics(sets, evaluated),
        build_risk_coverage_statistic(confidence, wrong),
    ]
    found = estimate(statistics, group_ids=group_ids, config=config, strata=evaluated.truth)
    classes = _build_classes(validation, np.array(validation_group_ids), thresholds, found)
    return SelectiveResult(
        name=name,
        class_names=evaluated.class_names,
        coverage=config.coverage,
        classes=classes,
        curve=_build_curve(confidence, wrong),
        notes=_find_notes(classes, nominal_coverage=config.coverage),
        decided=found["decided"],
        empty=found["empty"],
        several=found["several"],
        accuracy=found["accuracy"],
        selective_accuracy=found["selective_accuracy"],
        aurc=found["aurc"],
    )


def _build_classes(
    validation: ClassifiedImages,
    groups: NDArray[np.str_],
    thresholds: NDArray[np.float64],
    estimates: Estimates,
) -> tuple[ClassCoverage, ...]:
    """Build the coverage of each class; `groups` has one entry a validation image."""
    counts = np.bincount(validation.truth, minlength=len(thresholds))
    return tuple(
        ClassCoverage(
            class_name=class_name,
            threshold=float(thresholds[index]),
            calibration_images=int(counts[index]),
            calibration_patients=len(np.unique(groups[validation.truth == index])),
            empirical_coverage=estimates["empirical_coverage", class_name],
        )
        for index, class_name in enumerate(validation.class_names)
    )


def write_selective(path: Path, result: SelectiveResult) -> Path:
    """Write `selective.json` whole or not at all; returns the path."""
    return write_record(path, result)


def read_selective(path: Path) -> SelectiveResult:
    """Read `selective.json`.

    Raises:
        RunFolderError: It is missing, or not of this version.
    """
    return read_record(path, SelectiveResult, command="cxresnet evaluate RUN")


def _list_set_statistics(sets: NDArray[np.bool_], evaluated: ClassifiedImages) -> list[Statistic]:
    everyone = np.ones(len(evaluated.truth), dtype=bool)
    held = sets[np.arange(len(evaluated.truth)), evaluated.truth]
    size = sets.sum(axis=1)
    alone = size == 1
    nothing = "There is no image."
    by_class = [
        build_share(
            ("empirical_coverage", class_name),
            part=held,
            whole=evaluated.truth == index,
            undefined=f"No image shows {class_name}.",
        )
        for index, class_name in enumerate(evaluated.class_names)
    ]
    right = evaluated.predicted == evaluated.truth
    return [
        *by_class,
        build_share("decided", part=alone, whole=everyone, undefined=nothing),
        build_share("empty", part=size == 0, whole=everyone, undefined=nothing),
        build_share("several", part=size > 1, whole=everyone, undefined=nothing),
        build_share("accuracy", part=right, whole=everyone, undefined=nothing),
        build_share(
            "selective_accuracy", part=held, whole=alone, undefined="No image's set is one class."
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


def _find_notes(classes: Sequence[ClassCoverage], *, nominal_coverage: float) -> tuple[str, ...]:
    """Find the caveats: the limits of the coverage, and classes that clearly do not reach it."""
    notes = [_COVERAGE_NOTE]
    violations = [
        _describe_undercoverage(one, nominal_coverage)
        for one in classes
        if one.empirical_coverage.high is not None
        and one.empirical_coverage.high < nominal_coverage
    ]
    if violations:
        notes.append(
            f"Target coverage {nominal_coverage:.2f} not reached for {'; '.join(violations)}. Too "
            "few sets hold the true class there, so do not rely on them."
        )
    few = [f"{one.class_name} ({one.calibration_images})" for one in classes if one.threshold == 0]
    if few:
        notes.append(
            f"Too few validation images of {', '.join(few)} to reach the target coverage: "
            "the class is in every set."
        )
    return tuple(notes)


def _describe_undercoverage(one: ClassCoverage, nominal_coverage: float) -> str:
    low, high = one.compute_expected(nominal_coverage)
    return (
        f"{one.class_name}: {format_estimate(one.empirical_coverage, with_count=True)}, where a "
        f"fit on {one.calibration_images} images gives {low:.3f} to {high:.3f} by chance"
    )
