"""Sentences that must stand beside the numbers, because the numbers alone would mislead."""

from __future__ import annotations

from collections.abc import Sequence

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.evaluate.record import ClassResult
from cxresnet.predict.predictions import Predictions

__all__ = ["find_caveats"]


def find_caveats(
    predictions: Predictions,
    *,
    classes: Sequence[ClassResult],
    config: EvaluateConfig,
    openings: int | None,
) -> tuple[str, ...]:
    """Find what a reader of the numbers must know.

    Args:
        predictions: The films that were judged, all with a known class.
        classes: Their results.
        config: Says how many patients are few.
        openings: How often the sealed test was opened for numbers; None without a seal.
    """
    found = [
        _describe_source_confusion(predictions),
        _describe_missing_classes(classes),
        _describe_few_patients(classes, few_patients=config.few_patients),
        _describe_unknown_patients(predictions),
        _describe_openings(openings),
    ]
    return tuple(sentence for sentence in found if sentence)


def _describe_source_confusion(predictions: Predictions) -> str:
    """Name the classes whose every film comes from sources that hold no other class."""
    pairs = set(zip(predictions.truth.tolist(), predictions.sources, strict=True))
    classes_of: dict[str, set[int]] = {}
    for label, source in pairs:
        classes_of.setdefault(source, set()).add(label)
    if len(classes_of) < 2:
        return ""
    apart = [
        name
        for index, name in enumerate(predictions.class_names)
        if any(label == index for label, _ in pairs)
        and all(classes_of[source] == {index} for label, source in pairs if label == index)
    ]
    if not apart:
        return ""
    return (
        f"Every film of {' and of '.join(apart)} comes from a source that holds no other class: "
        "these numbers cannot tell the disease from the source."
    )


def _describe_missing_classes(classes: Sequence[ClassResult]) -> str:
    """Name the classes that no film shows."""
    missing = [result.class_name for result in classes if not result.films]
    if not missing:
        return ""
    return (
        f"No film here shows {' or '.join(missing)}: how many would be found cannot be told, nor "
        "any number that is a mean over all classes."
    )


def _describe_few_patients(classes: Sequence[ClassResult], *, few_patients: int) -> str:
    few = [
        f"{result.class_name} ({result.patients})"
        for result in classes
        if 0 < result.patients < few_patients
    ]
    if not few:
        return ""
    return (
        f"Fewer than {few_patients} patients of {', '.join(few)}: "
        "read the intervals, not the numbers."
    )


def _describe_unknown_patients(predictions: Predictions) -> str:
    unknown = predictions.patient_ids.count("") / max(len(predictions), 1)
    if unknown == 0:
        return ""
    return (
        f"{unknown:.0%} of the films have no patient id; there, a film and its copies count as a "
        "patient of their own, and the intervals may be too narrow."
    )


def _describe_openings(openings: int | None) -> str:
    if openings is None or openings < 2:
        return ""
    return (
        f"The sealed test was opened {openings} times for numbers. If anything was changed after a "
        "look at them, they are too good."
    )
