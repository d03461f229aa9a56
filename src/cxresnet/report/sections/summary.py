"""The top of the page: what must be known first, and the numbers that stand for the whole."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.evaluate.record import Baseline, Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.material import RunMaterial
from cxresnet.report.words import show_count, show_duration

__all__ = ["HeadlineCard", "build_headline_cards", "describe_run", "find_best_baseline"]


@dataclass(frozen=True)
class HeadlineCard:
    """One number with its interval, and what a rule without lungs reaches.

    Attributes:
        title: For people.
        note: What it means, a few words.
        estimate: The number.
        baseline: The same of the best rule without lungs; None where there is none.
        in_percent: Shown in percent, else as a decimal.
        above: The number less that of the best rule by it; None where it was not asked.
        rival: Title of that rule.
    """

    title: str
    note: str
    estimate: Estimate
    baseline: float | None
    in_percent: bool
    above: Estimate | None = None
    rival: str = ""


def build_headline_cards(evaluation: Evaluation) -> tuple[HeadlineCard, ...]:
    """Build the cards, the fairest number first."""
    ours = evaluation.headline
    best = find_best_baseline(evaluation)
    theirs = best.headline if best else None
    ranking = _find_best_ranking(evaluation)
    return (
        HeadlineCard(
            "Balanced accuracy",
            "mean of the classes' sensitivities",
            ours.balanced_accuracy,
            theirs.balanced_accuracy.value if theirs else None,
            in_percent=True,
            above=best.lift if best else None,
            rival=best.title if best else "",
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
            above=ranking.lift_auroc if ranking else None,
            rival=ranking.title if ranking else "",
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


def _find_best_ranking(evaluation: Evaluation) -> Baseline | None:
    """Find the rule without lungs that ranks best: the one that the network is least above."""
    tried = [
        (baseline.lift_auroc.value, baseline)
        for baseline in evaluation.baselines
        if baseline.lift_auroc is not None and baseline.lift_auroc.value is not None
    ]
    return min(tried, key=lambda pair: pair[0])[1] if tried else None


def describe_run(material: RunMaterial) -> str:
    """Say in a sentence or two what was done, as far as it was done."""
    sentences = []
    if material.dataset is not None:
        manifest = material.dataset.manifest
        names = ", ".join(material.dataset.class_names)
        sentences.append(
            f"{show_count(len(manifest))} films of {len(material.dataset.class_names)} classes "
            f"({names}) from {_count(manifest['source'].nunique(), 'source')}."
        )
    if material.model is not None and material.record is not None:
        learnt = sum(parameter.numel() for parameter in material.model.parameters())
        trained = ""
        if material.history is not None:
            trained = f", trained from scratch for {_count(len(material.history), 'epoch')}"
            if "seconds" in material.history:
                trained += f" in {show_duration(float(material.history['seconds'].sum()))}"
        sentences.append(
            f"A residual network “{material.record.model.preset}” of {show_count(learnt)} "
            f"learnt numbers{trained}."
        )
    return " ".join(sentences)


def _count(number: int, word: str) -> str:
    return f"{show_count(number)} {word}{'' if number == 1 else 's'}"
