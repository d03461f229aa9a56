"""Answers about the test: its numbers, its maps, and what is left open."""

from __future__ import annotations

from cxresnet.report.checklists.evidence import Answer, Evidence, not_known, partly, yes

__all__ = [
    "describe_accuracy",
    "describe_calibration",
    "describe_explanation",
    "describe_external",
    "describe_failures",
    "describe_fairness",
    "describe_input",
    "describe_internal",
    "describe_limits",
    "describe_robustness",
    "describe_sites",
    "describe_uncertainty",
]

_METRICS = "evaluate/metrics.json"
_NOT_TESTED = "Not evaluated yet."


def describe_uncertainty(evidence: Evidence) -> Answer:
    """Say how numbers and their intervals are made."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    how = evaluation.provenance
    return yes(
        f"Each number has its n and a {how.confidence:.0%} interval, {how.resamples} resamples. "
        f"{how.interval}",
        _METRICS,
    )


def describe_internal(evidence: Evidence) -> Answer:
    """Say what the sealed test gave."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    number = evaluation.headline.balanced_accuracy
    shown = "not defined" if number.value is None else f"{number.value:.3f}"
    interval = ""
    if number.low is not None and number.high is not None:
        interval = f" ({number.low:.3f} to {number.high:.3f})"
    openings = evaluation.provenance.openings or 0
    times = "time" if openings == 1 else "times"
    ledger = evaluation.provenance.ledger
    witness = (
        f" (the ledger ends in {ledger[-1].row_hash})" if ledger and ledger[-1].row_hash else ""
    )
    return yes(
        f"Balanced accuracy {shown}{interval} on {evaluation.films} sealed films of "
        f"{evaluation.patients} patients; the seal was opened {openings} {times}{witness}.",
        _METRICS,
    )


def describe_accuracy(evidence: Evidence) -> Answer:
    """Say that accuracy is given class by class."""
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return yes(
        "Sensitivity, specificity, predictive values, F1, AUROC and average precision of each "
        "class, the confusion matrix, and rules without lungs on the same films.",
        _METRICS,
    )


def describe_calibration(evidence: Evidence) -> Answer:
    """Say whether probabilities mean what they say."""
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return yes("Calibration curve, calibration error and Brier score, with intervals.", _METRICS)


def describe_external(evidence: Evidence) -> Answer:
    """Say what happened on films from elsewhere."""
    externals = evidence.material.externals
    if externals:
        sentences = " ".join(one.sentence for one in externals)
        return yes(sentences, f"evaluate-{externals[0].name}/external.json")
    left_out = evidence.material.left_out
    if left_out is not None and left_out.headline is not None:
        return partly(
            f"No other dataset, but sources left out in turn. {left_out.sentence}",
            "evaluate/leave_one_source_out.json",
        )
    return Answer("no", "No films from elsewhere were tried.", _METRICS)


def describe_sites(evidence: Evidence) -> Answer:
    """Say how far the network differs between sources."""
    left_out = evidence.material.left_out
    if left_out is not None:
        return yes(left_out.sentence, "evaluate/leave_one_source_out.json")
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return partly("Results by source, but no source was left out of the training.", _METRICS)


def describe_robustness(evidence: Evidence) -> Answer:
    """Say how sensitive the numbers are."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    count = len(evaluation.slices)
    return partly(
        f"Results in {count} slices (source, view, sex, age, image size). Films were not altered "
        "on purpose.",
        _METRICS,
    )


def describe_fairness(evidence: Evidence) -> Answer:
    """Say what is known of groups of patients."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    factors = sorted({one.factor for one in evaluation.slices} & {"sex", "age"})
    if not factors:
        return not_known("The films do not say sex or age of their patients.")
    return partly(
        f"Results by {' and '.join(factors)}; nothing is known of ethnicity, income or place.",
        _METRICS,
    )


def describe_explanation(evidence: Evidence) -> Answer:
    """Say how answers are explained."""
    attributions = evidence.material.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    names = ", ".join(method.title for method in attributions.index.methods)
    return yes(f"{names}, for the surest right and wrong films and the unsurest right ones.",
               "explain/index.json")  # fmt: skip


def describe_failures(evidence: Evidence) -> Answer:
    """Say where the network fails."""
    attributions = evidence.material.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    wrong = sum(film.why == "most confident wrong" for film in attributions.index.films)
    evaluation = evidence.material.evaluation
    worst = evaluation.worst_slice if evaluation is not None else None
    return yes(
        f"The {wrong} surest mistakes, class by class, each with its map"
        f"{', and the worst slice' if worst is not None else ''}.",
        "explain/index.json",
    )


def describe_input(evidence: Evidence) -> Answer:
    """Say what happens to a film that cannot be used."""
    if evidence.material.selective is None:
        return not_known(_NOT_TESTED)
    return yes(
        "A file that is no readable film is refused with a reason; a film whose set of classes is "
        "not exactly one class is answered with 'cannot tell'.",
        "evaluate/selective.json",
    )


def describe_limits(evidence: Evidence) -> Answer:
    """Say what stands against believing the numbers."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    found = [evaluation.data_verdict, *evaluation.warnings]
    return yes(" ".join(sentence for sentence in found if sentence) or "None was found.", _METRICS)
