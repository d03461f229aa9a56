"""The top of the page: what must be known first, and the numbers that stand for the whole."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.evaluate.record import Baseline, Evaluation
from cxresnet.metrics.estimate import Estimate

__all__ = ["HeadlineCard", "build_headline_cards", "find_best_baseline"]


@dataclass(frozen=True)
class HeadlineCard:
    """One number with its interval, and what a rule without lungs reaches.

    Attributes:
        title: For people.
        note: What it means, a few words.
        estimate: The number.
        baseline: The same of the best rule without lungs; None where there is none.
        in_percent: Shown in percent, else as a decimal.
    """

    title: str
    note: str
    estimate: Estimate
    baseline: float | None
    in_percent: bool


def build_headline_cards(evaluation: Evaluation) -> tuple[HeadlineCard, ...]:
    """Build the cards, the fairest number first."""
    ours = evaluation.headline
    best = find_best_baseline(evaluation)
    theirs = best.headline if best else None
    return (
        HeadlineCard(
            "Balanced accuracy",
            "mean of the classes' sensitivities",
            ours.balanced_accuracy,
            theirs.balanced_accuracy.value if theirs else None,
            in_percent=True,
        ),
        HeadlineCard(
            "Accuracy",
            "share of films put into the right class",
            ours.accuracy,
            theirs.accuracy.value if theirs else None,
            in_percent=True,
        ),
        HeadlineCard(
            "Macro AUROC",
            "ranks a film of a class above others",
            ours.macro_auroc,
            theirs.macro_auroc.value if theirs else None,
            in_percent=False,
        ),
        HeadlineCard(
            "Macro F1",
            "mean of the classes' F1",
            ours.macro_f1,
            theirs.macro_f1.value if theirs else None,
            in_percent=False,
        ),
    )


def find_best_baseline(evaluation: Evaluation) -> Baseline | None:
    """Find the strongest rule without lungs, if any could be tried."""
    for baseline in evaluation.baselines:
        if baseline.name == evaluation.best_baseline:
            return baseline
    return None
