"""The internal test: scores by class, calibration and thresholds, results with abstention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cxresnet.evaluate.clinical import ClassThreshold, DecisionCurve, PrevalenceCurve
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.results import ClassResult
from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.metrics.calibration import CalibrationBin
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.figures import FAINT, INK, SERIES, Drawing, draw_svg
from cxresnet.report.registry import register_section


@dataclass(frozen=True)
class ConfusionCell:
    """Images of one true class that were predicted as one class.

    Attributes:
        images: How many.
        share: Of the row, 0 to 1; None for an empty row.
        correct: The predicted class is the true one.
        rate: The share as an estimate, with its interval.
    """

    images: int
    share: float | None
    correct: bool
    rate: Estimate


@dataclass(frozen=True)
class ConfusionRow:
    """Images of one true class."""

    class_name: str
    images: int
    cells: tuple[ConfusionCell, ...]


@dataclass(frozen=True)
class EvaluationView:
    """What the template shows.

    Attributes:
        evaluation: The numbers.
        confusion: One row a true class.
        roc: One curve a class, in the order of the classes; None where no class has one.
        mixed_patients: Patients whose images have several classes, who therefore have no class.
    """

    evaluation: Evaluation
    confusion: tuple[ConfusionRow, ...]
    roc: Drawing | None
    mixed_patients: int


@register_section(
    "test",
    title="Internal test",
    short_title="Test",
    order=40,
    needs=("evaluation",),
    missing="Not evaluated yet. 'cxresnet evaluate RUN' opens the held-out test set.",
)
def build_evaluation_view(evaluation: Evaluation) -> EvaluationView:
    """Show the results by class, the confusion matrix and the ROC curves."""
    return EvaluationView(
        evaluation=evaluation,
        confusion=_build_confusion(evaluation),
        roc=_draw_roc(evaluation.classes),
        mixed_patients=_count_mixed_patients(evaluation),
    )


def _build_confusion(evaluation: Evaluation) -> tuple[ConfusionRow, ...]:
    rows = []
    for true, counts in enumerate(evaluation.confusion):
        total = sum(counts)
        cells = tuple(
            ConfusionCell(
                images=count,
                share=count / total if total else None,
                correct=called == true,
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
        axes.set(xlabel="false positive rate (1 − specificity)", ylabel="sensitivity")

    alt_text = (
        "ROC curves, one class against the rest: false positive rate across, sensitivity upwards."
    )
    return draw_svg("roc", draw, alt_text=alt_text, size_inches=(3.9, 3.6))


# Calibration, thresholds, and predictive values where a class is rarer.


_SIZE_INCHES = (3.9, 3.6)
_SHOWN_PREVALENCES = (0.01, 0.05, 0.1, 0.5)
_FEW_IMAGES = 10


@dataclass(frozen=True)
class CurveDrawing:
    """A drawing about one class."""

    class_name: str
    drawing: Drawing


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold, and whether its aim was reached on the evaluated images.

    Attributes:
        threshold: As `evaluate` wrote it.
        verdict: In words; "" for an aim without a number to reach.
    """

    threshold: ClassThreshold
    verdict: str


@dataclass(frozen=True)
class ProbabilitiesView:
    """What the template shows.

    Attributes:
        evaluation: The numbers.
        before: Reliability before calibration; None without images.
        after: Reliability after it.
        thresholds: By class and aim.
        ppv: Curves over prevalence, one a class that has one, in the order of the classes.
        npv: Likewise.
        prevalences: Those of the table.
        decisions: One a class.
        few_images: Fewer than these make a hollow point.
    """

    evaluation: Evaluation
    before: Drawing | None
    after: Drawing | None
    thresholds: tuple[ThresholdRow, ...]
    ppv: Drawing | None
    npv: Drawing | None
    prevalences: tuple[float, ...]
    decisions: tuple[CurveDrawing, ...]
    few_images: int = _FEW_IMAGES


@register_section(
    "probabilities",
    title="Calibration and thresholds",
    short_title="Calibration",
    order=50,
    needs=("evaluation",),
    missing="Not evaluated yet. 'cxresnet evaluate RUN' calibrates the probabilities.",
)
def build_probabilities_view(evaluation: Evaluation) -> ProbabilitiesView:
    """Draw reliability, predictive values over prevalence, and net benefit."""
    calibration = evaluation.calibration
    least = evaluation.provenance.config.get("target_sensitivity")
    return ProbabilitiesView(
        evaluation=evaluation,
        before=_draw_reliability("before", calibration.bins_before),
        after=_draw_reliability("after", calibration.bins),
        thresholds=tuple(
            ThresholdRow(one, _grade_aim(one, least if isinstance(least, float) else None))
            for one in evaluation.class_thresholds
        ),
        ppv=_draw_prevalence("ppv", evaluation.prevalence_curves),
        npv=_draw_prevalence("npv", evaluation.prevalence_curves),
        prevalences=_SHOWN_PREVALENCES,
        decisions=tuple(
            CurveDrawing(curve.class_name, _draw_decision(number, curve))
            for number, curve in enumerate(evaluation.decision_curves)
        ),
    )


def _grade_aim(threshold: ClassThreshold, least: float | None) -> str:
    """Decide whether a target sensitivity was reached; "" for other aims."""
    found = threshold.reached.sensitivity
    if threshold.aim != "sensitivity" or least is None or found.value is None:
        return ""
    if found.low is not None and found.low >= least:
        return "reached"
    if found.high is not None and found.high < least:
        return "missed"
    return "reached, within chance" if found.value >= least else "missed, within chance"


def _draw_reliability(name: str, bins: Sequence[CalibrationBin]) -> Drawing | None:
    filled = [each for each in bins if each.images]
    if not filled:
        return None
    most = max(each.images for each in filled)

    def draw(axes: Axes) -> None:
        for each in filled:
            # The bars at the foot are counts: how many images each point rests on.
            height = 0.18 * each.images / most
            width = (each.high - each.low) * 0.86
            axes.bar((each.low + each.high) / 2, height, width=width, color=SERIES[0], alpha=0.25)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        # A point of a few images jumps: it is drawn hollow, and no line passes through it.
        many = [each for each in filled if each.images >= _FEW_IMAGES]
        few = [each for each in filled if each.images < _FEW_IMAGES]
        axes.plot(*_place(many), color=SERIES[0], marker="o", markersize=5)
        axes.plot(*_place(few), color=SERIES[0], marker="o", markersize=5, mfc="none", linestyle="")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="highest predicted probability", ylabel="share of correct images")

    alt_text = (
        f"Reliability {name} calibration: the highest predicted probability across, the share of "
        "correct images upwards."
    )
    return draw_svg(f"reliability-{name}", draw, alt_text=alt_text, size_inches=_SIZE_INCHES)


def _place(bins: Sequence[CalibrationBin]) -> tuple[list[float], list[float]]:
    """Place filled bins: confidence across, accuracy upwards."""
    return [each.confidence or 0.0 for each in bins], [each.accuracy or 0.0 for each in bins]


def _draw_prevalence(score: str, curves: Sequence[PrevalenceCurve]) -> Drawing | None:
    """Draw PPV or NPV of every class over prevalence, with a band where there is an interval."""
    drawn = [(number, _read_points(score, curve)) for number, curve in enumerate(curves)]
    if not any(points for _, points in drawn):
        return None

    def draw(axes: Axes) -> None:
        for number, points in drawn:
            colour = SERIES[number % len(SERIES)]
            axes.plot([x for x, _ in points], [one.value or 0.0 for _, one in points], color=colour)
            _shade(axes, points, colour)
        axes.set(xscale="log", ylim=(-0.02, 1.02))
        axes.set_xticks([0.001, 0.01, 0.1, 0.5], ["0.1 %", "1 %", "10 %", "50 %"])
        axes.minorticks_off()
        label = "positive predictive value" if score == "ppv" else "negative predictive value"
        axes.set(xlabel="prevalence of the class", ylabel=label)

    alt_text = (
        f"{score.upper()} of each class over its prevalence, from one image in a thousand on."
    )
    return draw_svg(f"prevalence-{score}", draw, alt_text=alt_text, size_inches=_SIZE_INCHES)


def _read_points(score: str, curve: PrevalenceCurve) -> list[tuple[float, Estimate]]:
    points = [(point.prevalence, getattr(point, score)) for point in curve.points]
    return [(share, estimate) for share, estimate in points if estimate.value is not None]


def _shade(axes: Axes, points: Sequence[tuple[float, Estimate]], colour: str) -> None:
    """Shade the intervals; a gap where there is none."""
    known = [
        (x, one.low, one.high) for x, one in points if one.low is not None and one.high is not None
    ]
    if known:
        across, low, high = zip(*known, strict=True)
        axes.fill_between(across, low, high, color=colour, alpha=0.16, linewidth=0)


def _draw_decision(number: int, curve: DecisionCurve) -> Drawing:
    points = [
        (threshold, benefit)
        for threshold, benefit in zip(curve.thresholds, curve.net_benefit, strict=True)
        if benefit.value is not None
    ]

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        axes.plot(curve.thresholds, curve.act_on_all, color=FAINT, linestyle=(0, (3, 3)))
        colour = SERIES[number % len(SERIES)]
        axes.plot([x for x, _ in points], [one.value or 0.0 for _, one in points], color=colour)
        _shade(axes, points, colour)
        axes.set(xlim=(0, 1), ylim=(-0.25 * curve.prevalence, 1.1 * curve.prevalence))
        axes.set(xlabel="threshold probability", ylabel="net benefit")

    alt_text = (
        "Net benefit over the threshold probability: the model as a line, treating all images as "
        "positive dashed, treating none as positive at zero."
    )
    return draw_svg(f"decision-{number}", draw, alt_text=alt_text, size_inches=(3.9, 3.0))


# Results with abstention: sets of classes, coverage, and the remaining risk.


@dataclass(frozen=True)
class AbstentionView:
    """What the template shows.

    Attributes:
        result: The numbers.
        curve: Risk over coverage; None without images.
        expected: The range of each class's coverage by chance, fitted on so few images.
    """

    result: SelectiveResult
    curve: Drawing | None
    expected: tuple[tuple[float, float], ...]


@register_section(
    "abstention",
    title="Results with abstention",
    short_title="Abstention",
    order=70,
    needs=("selective",),
    missing="Not evaluated yet. 'cxresnet evaluate RUN' measures when the model should abstain.",
)
def build_abstention_view(result: SelectiveResult) -> AbstentionView:
    """Show coverage by class, and risk over coverage."""
    expected = tuple(one.compute_expected(result.coverage) for one in result.classes)
    return AbstentionView(result, _draw_curve(result), expected)


def _draw_curve(result: SelectiveResult) -> Drawing | None:
    if not result.curve:
        return None
    coverage = [point.coverage for point in result.curve]
    risk = [point.risk for point in result.curve]

    def draw(axes: Axes) -> None:
        axes.axhline(risk[-1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(coverage, risk, color=SERIES[0], drawstyle="steps-post")
        axes.set(xlim=(0, 1.02), ylim=(0, max(0.05, 1.15 * max(risk))))
        axes.set(
            xlabel="coverage (most confident images first)", ylabel="error rate of decided images"
        )

    alt_text = "Risk and coverage: share of decided images across, their error rate upwards."
    return draw_svg("risk-coverage", draw, alt_text=alt_text, size_inches=(4.4, 3.2))
