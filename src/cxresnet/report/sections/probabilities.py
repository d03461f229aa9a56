"""What a probability is worth: calibrated or not, from where on to act, and where it is rare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from cxresnet.evaluate.calibration_records import CalibrationBin
from cxresnet.evaluate.clinical_records import ClassThreshold, DecisionCurve, PrevalenceCurve
from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.figures import FAINT, INK, SERIES, Drawing, draw_svg
from cxresnet.report.section import Section

__all__ = [
    "CurveDrawing",
    "ProbabilitiesView",
    "ThresholdRow",
    "build_probabilities_section",
]

_SIZE_INCHES = (3.9, 3.6)
_SHOWN_PREVALENCES = (0.01, 0.05, 0.1, 0.5)
_FEW_FILMS = 10


@dataclass(frozen=True)
class CurveDrawing:
    """A drawing about one class."""

    class_name: str
    drawing: Drawing


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold, and whether its aim was reached on the films that are judged.

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
        before: Reliability before calibration; None without films.
        after: Reliability after it.
        thresholds: By class and aim.
        ppv: Curves over prevalence, one a class that has one, in the order of the classes.
        npv: Likewise.
        prevalences: Those of the table.
        decisions: One a class.
        few_films: Fewer than these make a hollow point.
    """

    evaluation: Evaluation
    before: Drawing | None
    after: Drawing | None
    thresholds: tuple[ThresholdRow, ...]
    ppv: Drawing | None
    npv: Drawing | None
    prevalences: tuple[float, ...]
    decisions: tuple[CurveDrawing, ...]
    few_films: int = _FEW_FILMS


def build_probabilities_section(evaluation: Evaluation | None) -> Section:
    """Build the section; without an evaluation it says how to get one."""
    anchor, title, short = "probabilities", "What a probability is worth", "Probabilities"
    if evaluation is None:
        missing = "Not evaluated yet. 'cxresnet evaluate RUN' calibrates the probabilities."
        return Section(anchor, title, short, view=None, missing=missing)
    calibration = evaluation.calibration
    least = evaluation.provenance.config.get("least_sensitivity")
    view = ProbabilitiesView(
        evaluation=evaluation,
        before=_draw_reliability("before", calibration.bins_before),
        after=_draw_reliability("after", calibration.bins),
        thresholds=tuple(
            ThresholdRow(one, _judge_aim(one, least if isinstance(least, float) else None))
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
    return Section(anchor, title, short, view=view)


def _judge_aim(threshold: ClassThreshold, least: float | None) -> str:
    """Say whether a sensitivity that was aimed at was reached; "" for other aims."""
    found = threshold.reached.sensitivity
    if threshold.aim != "sensitivity" or least is None or found.value is None:
        return ""
    if found.low is not None and found.low >= least:
        return "reached"
    if found.high is not None and found.high < least:
        return "missed"
    return (
        "reached, but it may be chance" if found.value >= least else "missed, but it may be chance"
    )


def _draw_reliability(name: str, bins: Sequence[CalibrationBin]) -> Drawing | None:
    filled = [each for each in bins if each.films]
    if not filled:
        return None
    most = max(each.films for each in filled)

    def draw(axes: Axes) -> None:
        for each in filled:
            # The bars at the foot are counts: how many films each point rests on.
            height = 0.18 * each.films / most
            width = (each.high - each.low) * 0.86
            axes.bar((each.low + each.high) / 2, height, width=width, color=SERIES[0], alpha=0.25)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        # A point of a few films jumps: it stands for itself, hollow, and bends no line.
        many = [each for each in filled if each.films >= _FEW_FILMS]
        few = [each for each in filled if each.films < _FEW_FILMS]
        axes.plot(*_place(many), color=SERIES[0], marker="o", markersize=5)
        axes.plot(*_place(few), color=SERIES[0], marker="o", markersize=5, mfc="none", linestyle="")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="highest probability, as said", ylabel="share that was right")

    words = (
        f"Reliability {name} calibration: the probability said across, the share that was "
        "right upwards."
    )
    return draw_svg(f"reliability-{name}", draw, words=words, size_inches=_SIZE_INCHES)


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
        label = "called it and have it (PPV)" if score == "ppv" else "not called it, lack it (NPV)"
        axes.set(xlabel="share of films that show the class", ylabel=label)

    words = f"{score.upper()} of each class over its prevalence, from one film in a thousand on."
    return draw_svg(f"prevalence-{score}", draw, words=words, size_inches=_SIZE_INCHES)


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
        axes.set(xlabel="probability from which one acts", ylabel="net benefit")

    words = (
        "Net benefit over the probability from which one acts: the network as a line, acting on "
        "all films dashed, acting on none at zero."
    )
    return draw_svg(f"decision-{number}", draw, words=words, size_inches=(3.9, 3.0))
