"""Topic: the difference between the network and shortcut baselines on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cxresnet.core.record import Record
from cxresnet.evaluate.results import Headline
from cxresnet.evaluate.scores import build_headline
from cxresnet.evaluate.topic import (
    Estimates,
    EvaluationInputs,
    Topic,
    build_difference,
    prefix_statistics,
)
from cxresnet.metrics.classification import (
    HEADLINE_SCORES,
    ClassifiedImages,
    build_headline_statistics,
)
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic
from cxresnet.shortcuts.baseline import BaselinePredictions

_COMPARED_SCORES = ("balanced_accuracy", "macro_auroc")


class Baseline(Record):
    """A shortcut baseline, which cannot see disease, trained and tested on the same images.

    Attributes:
        name: Short and stable: "majority", "source", "record", "file", "border" or "thumbnail".
        title: For people.
        inputs: What it is given, one sentence.
        headline: Its scores on the test images.
        balanced_accuracy_difference: Balanced accuracy of the network minus its own, on the same
            images and resamples.
        macro_auroc_difference: The same for macro AUROC.
        reason: Why it could not be tried; "" where it was.
    """

    name: str
    title: str
    inputs: str
    headline: Headline | None
    balanced_accuracy_difference: Estimate | None
    macro_auroc_difference: Estimate | None
    reason: str = ""


def list_statistics(inputs: EvaluationInputs) -> tuple[Statistic, ...]:
    """List the headline of every baseline, and the network's difference from it."""
    evaluated = inputs.evaluated
    ours = dict(zip(HEADLINE_SCORES, build_headline_statistics(evaluated), strict=True))
    return tuple(
        statistic
        for baseline in inputs.background.baselines
        for statistic in _list_of_one(baseline, evaluated, ours)
    )


def build_records(inputs: EvaluationInputs, estimates: Estimates) -> dict[str, Any]:
    """Build the record of each baseline, and name the best of them."""
    baselines = build_baselines(inputs.background.baselines, estimates)
    best = find_best_baseline(baselines)
    return {"baselines": baselines, "best_baseline": best.name if best else None}


TOPIC = Topic(list_statistics, build_records)


def build_baselines(
    predictions: Sequence[BaselinePredictions], estimates: Estimates
) -> tuple[Baseline, ...]:
    """Collect the baselines from the estimates of `list_statistics`."""
    return tuple(_build_baseline(one, estimates) for one in predictions)


def find_best_baseline(baselines: Sequence[Baseline]) -> Baseline | None:
    """Find the baseline with the highest balanced accuracy on the evaluated images.

    It is chosen after the fact, in the baselines' favour: the network must beat the luckiest.
    """
    scored = [
        (baseline.headline.balanced_accuracy.value, baseline)
        for baseline in baselines
        if baseline.headline is not None
    ]
    tried = [(value, baseline) for value, baseline in scored if value is not None]
    return max(tried, key=lambda pair: pair[0])[1] if tried else None


def _list_of_one(
    baseline: BaselinePredictions, evaluated: ClassifiedImages, ours: dict[str, Statistic]
) -> tuple[Statistic, ...]:
    """List headline and differences of one baseline; its largest probability decides."""
    if baseline.probabilities is None:
        return ()
    classified = replace(
        evaluated,
        probabilities=baseline.probabilities,
        predicted=baseline.probabilities.argmax(axis=1),
    )
    theirs = dict(zip(HEADLINE_SCORES, build_headline_statistics(classified), strict=True))
    prefix = ("baseline", baseline.rule.name)
    differences = (
        build_difference((*prefix, "difference", score), ours=ours[score], theirs=theirs[score])
        for score in _COMPARED_SCORES
    )
    return (*prefix_statistics(prefix, tuple(theirs.values())), *differences)


def _build_baseline(baseline: BaselinePredictions, estimates: Estimates) -> Baseline:
    rule, prefix = baseline.rule, ("baseline", baseline.rule.name)
    tried = baseline.probabilities is not None
    return Baseline(
        name=rule.name,
        title=rule.title,
        inputs=rule.inputs,
        headline=build_headline(estimates, prefix=prefix) if tried else None,
        balanced_accuracy_difference=estimates.get((*prefix, "difference", "balanced_accuracy")),
        macro_auroc_difference=estimates.get((*prefix, "difference", "macro_auroc")),
        reason=baseline.reason,
    )
