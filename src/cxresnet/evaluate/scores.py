"""Topic: scores of the network, overall, by class, by patient, and by class and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.record import Record
from cxresnet.evaluate.results import ClassResult, Headline, RocCurve
from cxresnet.evaluate.topic import Estimates, EvaluationInputs, Topic, add_prefix, estimate
from cxresnet.metrics.agreement import build_confusion_statistics, build_kappa
from cxresnet.metrics.classification import (
    CLASS_SCORES,
    HEADLINE_SCORES,
    ClassifiedImages,
    build_class_statistics,
    build_headline_statistics,
    build_share,
    compute_confusion,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.ranking import compute_roc_points
from cxresnet.metrics.statistic import Key, Statistic
from cxresnet.predict.predictions import Predictions


class PatientResult(Record):
    """One class, by patient: the mean probability over a patient's images decides.

    Patients whose images show several classes are left out.

    Attributes:
        class_name: The class.
        patients: Patients who have it.
        recall: Share of them for whom it is predicted.
    """

    class_name: str
    patients: int
    recall: Estimate


class SourceCount(Record):
    """Images of one class from one source.

    Attributes:
        class_name: The class.
        source: The source.
        images: How many.
        patients: Independent groups among them.
    """

    class_name: str
    source: str
    images: int
    patients: int


def list_statistics(inputs: EvaluationInputs) -> tuple[Statistic, ...]:
    """List the headline, the scores of each class, kappa and the rates of the confusion matrix."""
    evaluated = inputs.evaluated
    return (
        *build_headline_statistics(evaluated),
        *(
            statistic
            for index in range(len(evaluated.class_names))
            for statistic in build_class_statistics(evaluated, index)
        ),
        build_kappa(evaluated),
        *build_confusion_statistics(evaluated),
    )


def build_records(inputs: EvaluationInputs, estimates: Estimates) -> dict[str, Any]:
    """Build headline, kappa, confusion matrix, and results by class, patient and source."""
    evaluated = inputs.evaluated
    return {
        "headline": build_headline(estimates),
        "cohens_kappa": estimates["cohens_kappa"],
        "confusion": _count_confusion(evaluated),
        "confusion_rates": _collect_confusion_rates(estimates, len(evaluated.class_names)),
        "classes": build_class_results(evaluated, estimates, group_ids=inputs.group_ids),
        "by_patient": _build_patient_results(
            evaluated,
            group_ids=inputs.group_ids,
            weights=np.array(inputs.point.weights),
            config=inputs.config,
        ),
        "counts": _count_sources(inputs.images),
    }


TOPIC = Topic(list_statistics, build_records)


def build_headline(estimates: Estimates, *, prefix: Key = ()) -> Headline:
    """Collect the headline from estimates; `prefix` is that of `prefix_statistics`."""
    return Headline.model_validate(
        {name: estimates[add_prefix(prefix, name) if prefix else name] for name in HEADLINE_SCORES}
    )


def build_class_results(
    evaluated: ClassifiedImages, estimates: Estimates, *, group_ids: Sequence[str]
) -> tuple[ClassResult, ...]:
    """Collect the scores of every class and its ROC curve."""
    groups = np.array(group_ids)
    results = []
    for index, class_name in enumerate(evaluated.class_names):
        positive = evaluated.truth == index
        scores = {name: estimates[name, class_name] for name in CLASS_SCORES}
        results.append(
            ClassResult(
                class_name=class_name,
                images=int(positive.sum()),
                patients=len(np.unique(groups[positive])),
                roc=_build_roc(positive, evaluated.probabilities[:, index]),
                **scores,
            )
        )
    return tuple(results)


def _build_roc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> RocCurve | None:
    points = compute_roc_points(positive, scores)
    if points is None:
        return None
    return RocCurve(
        false_positive_rate=tuple(points.false_positive_rate.tolist()),
        true_positive_rate=tuple(points.true_positive_rate.tolist()),
        thresholds=tuple(
            value if np.isfinite(value) else None for value in points.thresholds.tolist()
        ),
    )


def _build_patient_results(
    evaluated: ClassifiedImages,
    *,
    group_ids: Sequence[str],
    weights: NDArray[np.float64],
    config: EvaluateConfig,
) -> tuple[PatientResult, ...]:
    """Evaluate patients by the mean probability of their images.

    Args:
        evaluated: The images.
        group_ids: Patient with duplicates, one an image.
        weights: Of the operating point, (classes,).
        config: Of the intervals.
    """
    names, index = np.unique(np.array(group_ids), return_inverse=True)
    label, consistent, mean = _average_by_group(evaluated, index, count=len(names))
    predicted = (mean * weights).argmax(axis=1)
    recalls = [
        build_share(
            class_name,
            part=predicted == number,
            whole=consistent & (label == number),
            undefined=f"No patient has {class_name} on every image.",
        )
        for number, class_name in enumerate(evaluated.class_names)
    ]
    estimates = estimate(recalls, group_ids=names.tolist(), config=config, strata=label)
    return tuple(
        PatientResult(class_name=name, patients=estimates[name].n, recall=estimates[name])
        for name in evaluated.class_names
    )


def _average_by_group(
    evaluated: ClassifiedImages, index: NDArray[np.intp], *, count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """Average the probabilities of each group's images.

    Args:
        evaluated: The images.
        index: Group of each image, (images,), 0 to count - 1.
        count: Groups.

    Returns:
        A class of each group, (groups,); whether all its images show that class, (groups,); and
        the mean probabilities, (groups, classes).
    """
    images = np.bincount(index, minlength=count)
    label = np.full(count, -1, dtype=np.int64)
    label[index] = evaluated.truth
    agreeing = np.bincount(index, weights=label[index] == evaluated.truth, minlength=count)
    mean = np.stack(
        [
            np.bincount(index, weights=column, minlength=count) / images
            for column in evaluated.probabilities.T
        ],
        axis=1,
    )
    return label, agreeing == images, mean


def _count_confusion(evaluated: ClassifiedImages) -> tuple[tuple[int, ...], ...]:
    """Count images by true class (row) and predicted class (column)."""
    count = len(evaluated.class_names)
    confusion = compute_confusion(evaluated.truth, evaluated.predicted, class_count=count)
    return tuple(tuple(row) for row in confusion.tolist())


def _collect_confusion_rates(estimates: Estimates, count: int) -> tuple[tuple[Estimate, ...], ...]:
    """Collect the share of each cell in its row, as of `build_confusion_statistics`."""
    return tuple(
        tuple(estimates["confusion", true, predicted] for predicted in range(count))
        for true in range(count)
    )


def _count_sources(images: Predictions) -> tuple[SourceCount, ...]:
    """Count images and patients by class and source, in that order."""
    images_of = Counter(zip(images.truth.tolist(), images.sources, strict=True))
    patients_of = Counter(
        (label, source)
        for label, source, _ in set(
            zip(images.truth.tolist(), images.sources, images.group_ids, strict=True)
        )
    )
    return tuple(
        SourceCount(
            class_name=images.class_names[label],
            source=source,
            images=images_of[label, source],
            patients=patients_of[label, source],
        )
        for label, source in sorted(images_of)
    )
