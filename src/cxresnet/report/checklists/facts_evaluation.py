"""Answers about the test: its numbers, its maps, and what is left open."""

from __future__ import annotations

from cxresnet.metrics.estimate import format_estimate
from cxresnet.report.checklists.facts_data import Answer, Evidence, not_known, partly, yes

_METRICS = "evaluate/metrics.json"
_NOT_TESTED = "Not evaluated yet."


def describe_uncertainty(evidence: Evidence) -> Answer:
    """Describe how metrics and their intervals are computed."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    how = evaluation.provenance
    return yes(
        f"Each number has its n and a {how.confidence:.0%} interval, {how.resamples} resamples. "
        f"{how.interval}",
        _METRICS,
    )


def describe_internal(evidence: Evidence) -> Answer:
    """State the result of the internal test."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    number = evaluation.headline.balanced_accuracy
    shown = "not defined" if number.value is None else format_estimate(number)
    accesses = evaluation.provenance.accesses or 0
    times = "time" if accesses == 1 else "times"
    access_log = evaluation.provenance.access_log
    witness = (
        f" (last row of the access log: {access_log[-1].row_hash})"
        if access_log and access_log[-1].row_hash
        else ""
    )
    return yes(
        f"Balanced accuracy {shown} on {evaluation.images} held-out images of "
        f"{evaluation.patients} patients; the test set was accessed {accesses} {times}{witness}.",
        _METRICS,
    )


def describe_accuracy(evidence: Evidence) -> Answer:
    """State that accuracy is given class by class."""
    if evidence.artifacts.evaluation is None:
        return not_known(_NOT_TESTED)
    return yes(
        "Sensitivity, specificity, predictive values, F1, AUROC and average precision of each "
        "class, the confusion matrix, and shortcut baselines on the same images.",
        _METRICS,
    )


def describe_external(evidence: Evidence) -> Answer:
    """State the result of external tests."""
    externals = evidence.artifacts.externals
    if externals:
        sentences = " ".join(one.sentence for one in externals)
        return yes(sentences, f"evaluate-{externals[0].name}/external.json")
    left_out = evidence.artifacts.left_out
    if left_out is not None and left_out.headline is not None:
        return partly(
            f"No other dataset, but sources were left out of training. {left_out.sentence}",
            "evaluate/leave_sources_out.json",
        )
    return Answer("no", "There is no external test.", _METRICS)


def describe_sites(evidence: Evidence) -> Answer:
    """State how the results differ between sources."""
    left_out = evidence.artifacts.left_out
    if left_out is not None:
        return yes(left_out.sentence, "evaluate/leave_sources_out.json")
    if evidence.artifacts.evaluation is None:
        return not_known(_NOT_TESTED)
    return partly("Results by source, but no source was left out of training.", _METRICS)


def describe_robustness(evidence: Evidence) -> Answer:
    """State how robust the results are."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    count = len(evaluation.slices)
    return partly(
        f"Results in {count} slices (source, view, sex, age, image size). Robustness "
        "to corrupted images was not tested.",
        _METRICS,
    )


def describe_fairness(evidence: Evidence) -> Answer:
    """State the results by groups of patients."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    factors = sorted({one.factor for one in evaluation.slices} & {"sex", "age"})
    if not factors:
        return not_known("Sex and age of the patients are not recorded.")
    return partly(
        f"Results by {' and '.join(factors)}; ethnicity, income and region are not recorded.",
        _METRICS,
    )


def describe_explanation(evidence: Evidence) -> Answer:
    """Name the attribution methods."""
    attributions = evidence.artifacts.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    names = ", ".join(method.title for method in attributions.index.methods)
    chosen = "the most confident correct and incorrect, and the least confident correct images"
    return yes(f"{names}, for {chosen}.", "explain/index.json")


def describe_failures(evidence: Evidence) -> Answer:
    """Name where the model fails."""
    attributions = evidence.artifacts.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    wrong = sum(
        image.selection_reason == "most confident incorrect" for image in attributions.index.images
    )
    evaluation = evidence.artifacts.evaluation
    worst = evaluation.worst_slice if evaluation is not None else None
    return yes(
        f"The {wrong} most confident errors by class, each with its map"
        f"{', and the worst slice' if worst is not None else ''}.",
        "explain/index.json",
    )


def describe_input(evidence: Evidence) -> Answer:
    """State what happens to an image that cannot be used."""
    if evidence.artifacts.selective is None:
        return not_known(_NOT_TESTED)
    return yes(
        "A file that is not a readable image is rejected with a reason; the model abstains if the "
        "set of possible classes of an image is not exactly one class.",
        "evaluate/selective.json",
    )


def describe_limits(evidence: Evidence) -> Answer:
    """List the limitations."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    found = [evaluation.data_verdict, *evaluation.warnings]
    return yes(" ".join(sentence for sentence in found if sentence) or "None was found.", _METRICS)
