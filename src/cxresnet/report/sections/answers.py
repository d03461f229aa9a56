"""When the network may answer: sets of classes, "cannot tell", and the risk that is left."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes

from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.report.figures import FAINT, SERIES, Drawing, draw_svg
from cxresnet.report.section import Section

__all__ = ["AnswersView", "build_answers_section"]


@dataclass(frozen=True)
class AnswersView:
    """What the template shows.

    Attributes:
        result: The numbers.
        curve: Risk over coverage; None without films.
        expected: Where the coverage of each class lies by chance, after a fit on so few films.
    """

    result: SelectiveResult
    curve: Drawing | None
    expected: tuple[tuple[float, float], ...]


def build_answers_section(result: SelectiveResult | None) -> Section:
    """Build the section; without the result it says how to get it."""
    anchor, title, short = "answers", "When it may answer, and when it cannot tell", "Cannot tell"
    if result is None:
        missing = "Not tried yet. 'cxresnet evaluate RUN' finds out when the network may answer."
        return Section(anchor, title, short, view=None, missing=missing)
    expected = tuple(one.compute_expected(result.coverage) for one in result.classes)
    return Section(anchor, title, short, view=AnswersView(result, _draw_curve(result), expected))


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
            xlabel="share of films answered, the surest first", ylabel="share of wrong answers"
        )

    words = "Risk and coverage: share of films answered across, share of wrong answers upwards."
    return draw_svg("risk-coverage", draw, words=words, size_inches=(4.4, 3.2))
