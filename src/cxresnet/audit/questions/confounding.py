"""Question 1: do source, metadata or simple properties of the image predict the class?

Two things are looked at: what the checks of the data found before any training (`shortcuts/`), and
how far the model is above the best shortcut baseline on the same test images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cxresnet.audit.context import AuditContext
from cxresnet.audit.question import QuestionAnswer, build_measure, find_worst, register_question
from cxresnet.audit.scorecard import ABOVE_BASELINE, OWN_SCORE
from cxresnet.core.finding import Finding, Measure, Verdict, choose_worst, read_findings
from cxresnet.metrics.classification import ClassifiedImages, build_headline_statistics
from cxresnet.metrics.estimate import Estimate, format_estimate
from cxresnet.metrics.statistic import Statistic
from cxresnet.shortcuts.baseline import Probabilities, predict_baselines

_ONLY_OF_FILES = "file_header"
"""What the files were before `prepare`: the model does not see it."""


@dataclass(frozen=True)
class _AboveBaseline:
    """How far the model is above a shortcut baseline."""

    title: str
    difference: Estimate


@register_question(
    "confounding",
    number=1,
    title="Do source, metadata or simple properties of the image predict the class?",
    threshold="Red where a check of the data is red (the source determines the class, or an AUROC "
    "of 0.9 or more without anatomy), or where the model is shown to be below the best shortcut "
    "baseline; amber where a check is amber, or where the interval of the difference includes 0.",
    next_step="Add images of every class from every source, or remove the sources that hold one "
    "class only; then leave sources out: cxresnet evaluate RUN --leave-sources-out.",
    cost=6,
)
def answer_confounding(context: AuditContext) -> QuestionAnswer:
    """Read the checks of the data, and compare the model with the shortcut baselines."""
    findings = [
        one for one in read_findings(context.dataset.path) if one.question != _ONLY_OF_FILES
    ]
    worst = choose_worst(findings)
    ours = ClassifiedImages(
        class_names=context.class_names,
        truth=context.truth,
        predicted=context.predicted,
        probabilities=context.probabilities,
    )
    best = _compare_with_baselines(context, ours)
    verdict = find_worst([worst.verdict if worst else "amber", _grade(best)])
    sentences = [
        worst.sentence if worst else "The data were not checked; 'cxresnet prepare' does it.",
        _describe(best),
    ]
    measures = [build_measure(ABOVE_BASELINE, best.difference, note=best.title)] if best else []
    measures.append(build_measure(OWN_SCORE, _score(context, ours)))
    return QuestionAnswer(
        verdict=verdict,
        sentence=" ".join(sentences),
        measures=(*measures, *_list_strongest(findings)),
    )


def _score(context: AuditContext, ours: ClassifiedImages) -> Estimate:
    """Estimate the model's own balanced accuracy, beside which the rest is read."""
    score = _find_balanced_accuracy(ours)
    return context.estimate([score], groups=context.groups, purpose="own score")[score.name]


def _list_strongest(findings: list[Finding]) -> list[Measure]:
    """List the largest number of each check of the data, named by its question."""
    strongest = [
        (finding, max(finding.measures, key=lambda measure: measure.value or 0.0))
        for finding in findings
        if finding.measures
    ]
    return [
        measure.model_copy(update={"name": f"{finding.title.rstrip('?')}: {measure.name}"})
        for finding, measure in strongest
    ]


def _grade(best: _AboveBaseline | None) -> Verdict:
    if best is None or best.difference.value is None:
        return "green"
    low, high = best.difference.low, best.difference.high
    if high is not None and high <= 0:
        return "red"
    return "amber" if low is None or low <= 0 else "green"


def _describe(best: _AboveBaseline | None) -> str:
    if best is None:
        return "No shortcut baseline could be tried."
    return (
        "Balanced accuracy of the model minus that of the best shortcut baseline "
        f"({best.title}): {format_estimate(best.difference, digits=2, signed=True)}."
    )


def _compare_with_baselines(context: AuditContext, ours: ClassifiedImages) -> _AboveBaseline | None:
    """Compare with the baseline that does best on the test images: chosen in its favour."""
    if context.dataset.record.config.external_test:
        return None
    baselines = predict_baselines(
        context.training,
        [context.test],
        class_count=len(context.class_names),
        seed=context.config.seed,
    )
    compared = [
        (baseline, _build_difference(ours, baseline.rule.name, baseline.probabilities))
        for baseline in baselines
        if baseline.probabilities is not None
    ]
    if not compared:
        return None
    estimates = context.estimate(
        [difference for _, difference in compared], groups=context.groups, purpose="baselines"
    )
    found = [
        _AboveBaseline(baseline.rule.title, estimates[difference.name])
        for baseline, difference in compared
    ]
    return min(found, key=lambda one: 1.0 if one.difference.value is None else one.difference.value)


def _build_difference(ours: ClassifiedImages, name: str, probabilities: Probabilities) -> Statistic:
    """Build the model's balanced accuracy minus the baseline's, on the same images."""
    theirs = replace(ours, probabilities=probabilities, predicted=probabilities.argmax(axis=1))
    mine, other = (_find_balanced_accuracy(one) for one in (ours, theirs))
    return Statistic(
        name=name,
        compute=lambda weights: mine.compute(weights) - other.compute(weights),
        parts=mine.parts,
        undefined=mine.undefined,
        scale="difference",
    )


def _find_balanced_accuracy(classified: ClassifiedImages) -> Statistic:
    return next(
        one for one in build_headline_statistics(classified) if one.name == "balanced_accuracy"
    )
