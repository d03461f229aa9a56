"""The test: what the network is worth on films that it never saw."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes

from cxresnet.evaluate.record import ClassResult, Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.figures import FAINT, SERIES, Drawing, draw_svg
from cxresnet.report.section import Section

__all__ = ["ConfusionCell", "ConfusionRow", "EvaluationView", "build_evaluation_section"]


@dataclass(frozen=True)
class ConfusionCell:
    """Films of one true class that were called one class.

    Attributes:
        films: How many.
        share: Of the row, 0 to 1; None for an empty row.
        right: The class called is the true one.
        rate: The share as an estimate, with its interval.
    """

    films: int
    share: float | None
    right: bool
    rate: Estimate


@dataclass(frozen=True)
class ConfusionRow:
    """Films of one true class."""

    class_name: str
    films: int
    cells: tuple[ConfusionCell, ...]


@dataclass(frozen=True)
class EvaluationView:
    """What the template shows.

    Attributes:
        evaluation: The numbers.
        confusion: One row a true class.
        roc: One curve a class, in the order of the classes; None where no class has one.
        mixed_patients: Patients whose films show several classes: no class is theirs.
    """

    evaluation: Evaluation
    confusion: tuple[ConfusionRow, ...]
    roc: Drawing | None
    mixed_patients: int


def build_evaluation_section(evaluation: Evaluation | None) -> Section:
    """Build the section; without an evaluation it says how to get one."""
    anchor, title, short = "test", "The test: films it never saw", "Test"
    if evaluation is None:
        missing = "Not evaluated yet. 'cxresnet evaluate RUN' opens the sealed test and judges."
        return Section(anchor, title, short, view=None, missing=missing)
    view = EvaluationView(
        evaluation=evaluation,
        confusion=_build_confusion(evaluation),
        roc=_draw_roc(evaluation.classes),
        mixed_patients=_count_mixed_patients(evaluation),
    )
    return Section(anchor, title, short, view=view)


def _build_confusion(evaluation: Evaluation) -> tuple[ConfusionRow, ...]:
    rows = []
    for true, counts in enumerate(evaluation.confusion):
        total = sum(counts)
        cells = tuple(
            ConfusionCell(
                films=count,
                share=count / total if total else None,
                right=called == true,
                rate=evaluation.confusion_rates[true][called],
            )
            for called, count in enumerate(counts)
        )
        rows.append(ConfusionRow(evaluation.class_names[true], total, cells))
    return tuple(rows)


def _count_mixed_patients(evaluation: Evaluation) -> int:
    if not evaluation.by_patient:
        return 0
    return evaluation.patients - sum(result.patients for result in evaluation.by_patient)


def _draw_roc(classes: tuple[ClassResult, ...]) -> Drawing | None:
    if all(result.roc is None for result in classes):
        return None

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        for number, result in enumerate(classes):
            if result.roc is not None:
                axes.plot(
                    result.roc.false_positive_rate,
                    result.roc.true_positive_rate,
                    color=SERIES[number % len(SERIES)],
                )
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="false alarms (1 − specificity)", ylabel="found (sensitivity)")

    words = "ROC curves, one class against the rest: false alarms across, films found upwards."
    return draw_svg("roc", draw, words=words, size_inches=(3.9, 3.6))
