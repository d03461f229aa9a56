"""How far the network is above rules without lungs, on the same films and resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cxresnet.evaluate.baselines import BaselineAnswer
from cxresnet.evaluate.record import Baseline
from cxresnet.evaluate.scores import build_headline, build_lift, prefix_names
from cxresnet.metrics.classification import HEADLINE_SCORES, Judged, build_headline_statistics
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic

__all__ = ["build_baseline_records", "find_best_baseline", "list_baseline_statistics"]

_LIFTED = ("balanced_accuracy", "macro_auroc")


def list_baseline_statistics(
    judged: Judged, answers: Sequence[BaselineAnswer]
) -> tuple[Statistic, ...]:
    """List the headline of every baseline, and what the network has above it.

    Args:
        judged: The films as the network judged them.
        answers: Of the baselines on the same films; the largest probability decides.
    """
    ours = dict(zip(HEADLINE_SCORES, build_headline_statistics(judged), strict=True))
    found: list[Statistic] = []
    for answer in answers:
        if answer.probabilities is None:
            continue
        their_films = replace(
            judged,
            probabilities=answer.probabilities,
            predicted=answer.probabilities.argmax(axis=1),
        )
        theirs = dict(zip(HEADLINE_SCORES, build_headline_statistics(their_films), strict=True))
        prefix = _name(answer)
        found += prefix_names(prefix, tuple(theirs.values()))
        found += [
            build_lift(f"{prefix}/lift/{score}", ours=ours[score], theirs=theirs[score])
            for score in _LIFTED
        ]
    return tuple(found)


def build_baseline_records(
    answers: Sequence[BaselineAnswer], estimates: Mapping[str, Estimate]
) -> tuple[Baseline, ...]:
    """Collect the baselines from the estimates of `list_baseline_statistics`."""
    return tuple(_build_record(answer, estimates) for answer in answers)


def find_best_baseline(baselines: Sequence[Baseline]) -> Baseline | None:
    """Find the baseline with the highest balanced accuracy on the films that are judged.

    It is chosen after the fact, in the baselines' favour: the network must beat the luckiest.
    """
    scored = [
        (baseline.headline.balanced_accuracy.value, baseline)
        for baseline in baselines
        if baseline.headline is not None
    ]
    tried = [(value, baseline) for value, baseline in scored if value is not None]
    return max(tried, key=lambda pair: pair[0])[1] if tried else None


def _name(answer: BaselineAnswer) -> str:
    return f"baseline/{answer.rule.name}"


def _build_record(answer: BaselineAnswer, estimates: Mapping[str, Estimate]) -> Baseline:
    rule, prefix = answer.rule, _name(answer)
    tried = answer.probabilities is not None
    return Baseline(
        name=rule.name,
        title=rule.title,
        sees=rule.sees,
        headline=build_headline(estimates, prefix=f"{prefix}/") if tried else None,
        lift=estimates.get(f"{prefix}/lift/balanced_accuracy"),
        lift_auroc=estimates.get(f"{prefix}/lift/macro_auroc"),
        reason=answer.reason,
    )
