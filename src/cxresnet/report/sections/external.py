"""External tests: sources left out of training, and other datasets."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.merge_advice import MergeAdvice
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.source_tasks import TaskScore
from cxresnet.metrics.estimate import format_estimate
from cxresnet.report.figures import GRID, INK, SERIES, Drawing, draw_svg
from cxresnet.report.registry import register_section

_BADGES = {"helps": "green", "harms": "red", "inconclusive": "grey", "not tested": "grey"}


@dataclass(frozen=True)
class GapRow:
    """One score in the internal and the external test, and the generalisation gap.

    Attributes:
        name: For people.
        score: The numbers.
        counted: What the external score counts: "images" or "patients".
    """

    name: str
    score: GeneralisationGap
    counted: str = "images"


@dataclass(frozen=True)
class TaskRow:
    """One pair of classes on one set of sources left out, or the mean over the sets.

    Attributes:
        number: Of the set in the picture; "" for the mean.
        name: Of the set; "Mean".
        letter: Of the pair of classes in the picture.
        score: The numbers.
        share: How strongly the cell is coloured: 0 for an area of 0.5 or less, 1 for 1.
    """

    number: str
    name: str
    letter: str
    score: TaskScore
    share: float


_BADGES = {"helps": "green", "harms": "red", "inconclusive": "grey", "not tested": "grey"}


@dataclass(frozen=True)
class ExternalView:
    """What the template shows.

    Attributes:
        left_out: Sets of sources left out; None where that was not run.
        grid: The areas as a picture: sets down, pairs of classes across; None without any.
        tasks: The same as rows, the means last.
        rows: From set to its internal and external scores.
        mean: Over the sets that were tested.
        externals: Other datasets, each with its rows.
        merge_advice: What each source does for the scores on other sources; None if not asked.
        badges: From verdict on a source to the colour of its badge.
    """

    left_out: LeaveSourcesOut | None
    grid: Drawing | None
    tasks: tuple[TaskRow, ...]
    rows: dict[str, tuple[GapRow, ...]]
    mean: tuple[GapRow, ...]
    externals: tuple[tuple[ExternalTest, tuple[GapRow, ...]], ...]
    merge_advice: MergeAdvice | None
    badges: Mapping[str, str] = field(default_factory=lambda: _BADGES)


@register_section(
    "external",
    title="External test: sources that the model was not trained on",
    short_title="External test",
    order=60,
    any_of=("left_out", "externals"),
    uses=("merge_advice",),
    missing=(
        "Not tested yet: nothing on this page shows how the model performs at another hospital. "
        "'cxresnet evaluate RUN --leave-sources-out' tests it on the sources of this dataset, "
        "'cxresnet evaluate RUN --dataset OTHER' on another dataset."
    ),
)
def build_external_view(
    left_out: LeaveSourcesOut | None,
    externals: tuple[ExternalTest, ...],
    merge_advice: MergeAdvice | None = None,
) -> ExternalView:
    """Put the internal and the external scores side by side."""
    tasks = tuple(_list_task_rows(left_out)) if left_out else ()
    return ExternalView(
        left_out=left_out,
        grid=_draw_grid(tasks) if tasks else None,
        tasks=tasks,
        rows={one.name: build_gap_rows(one.scores) for one in left_out.sets} if left_out else {},
        mean=build_gap_rows(left_out.mean) if left_out else (),
        externals=tuple(
            (one, build_gap_rows(one.scores) + _build_patient_rows(one.by_patient))
            for one in externals
        ),
        merge_advice=merge_advice,
    )


def _list_task_rows(left_out: LeaveSourcesOut) -> Iterator[TaskRow]:
    letters = {
        mean.classes: letter
        for mean, letter in zip(left_out.mean_tasks, string.ascii_uppercase, strict=False)
    }
    for number, one in enumerate(left_out.tested, start=1):
        for score in one.tasks:
            yield _build_task_row(str(number), one.name, letters[score.classes], score)
    for score in left_out.mean_tasks:
        yield _build_task_row("", "Mean", letters[score.classes], score)


def _build_task_row(number: str, name: str, letter: str, score: TaskScore) -> TaskRow:
    share = 2 * ((score.auroc.value or 0.5) - 0.5)
    return TaskRow(number, name, letter, score, share=min(1.0, max(0.0, share)))


_CELL_INCHES = (1.75, 0.62)
_FULL_COLOUR = 0.6


def _draw_grid(tasks: Sequence[TaskRow]) -> Drawing:
    """Draw the grid; numbers and letters stand for the names, which are in the table below it."""
    down = list(dict.fromkeys(one.number for one in tasks))
    across = sorted({one.letter for one in tasks})

    def draw(axes: Axes) -> None:
        for row, number in enumerate(down):
            for column, letter in enumerate(across):
                here = [one for one in tasks if (one.number, one.letter) == (number, letter)]
                for place, one in enumerate(here):
                    _draw_cell(axes, column, row + place / len(here), one, height=1 / len(here))
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set(xlim=(0, len(across)), ylim=(len(down), 0))
        axes.set_xticks([column + 0.5 for column in range(len(across))], across)
        axes.set_yticks(
            [row + 0.5 for row in range(len(down))], [number or "mean" for number in down]
        )
        axes.xaxis.tick_top()

    alt_text = (
        "Grid of areas under the ROC curve: sets of sources left out down, pairs of classes "
        "across, means in the last row. The table below has the same numbers."
    )
    width, height = _CELL_INCHES
    size = (0.6 + width * len(across), 0.4 + height * len(down))
    return draw_svg("left-out-sources", draw, alt_text=alt_text, size_inches=size)


def _draw_cell(axes: Axes, left: float, top: float, one: TaskRow, *, height: float) -> None:
    """Draw one cell: colour by area, area with interval, and the best baseline below it."""
    size = (0.96, 0.92 * height)
    place = (left + 0.02, top + 0.04 * height)
    axes.add_patch(Rectangle(place, *size, color=SERIES[0], alpha=_FULL_COLOUR * one.share, lw=0))
    axes.add_patch(Rectangle(place, *size, fill=False, edgecolor=GRID, lw=0.7))
    middle = left + 0.5
    text = format_estimate(one.score.auroc, digits=2)
    axes.text(middle, top + 0.36 * height, text, ha="center", va="center", color=INK)
    baseline = one.score.baseline_auroc
    if baseline is not None and baseline.value is not None:
        below = f"baseline {baseline.value:.2f}"
        axes.text(
            middle, top + 0.7 * height, below, ha="center", va="center", color=INK, fontsize=7.5
        )


def build_gap_rows(scores: tuple[GeneralisationGap, ...]) -> tuple[GapRow, ...]:
    """Take the means, or the sensitivity where there is nothing else."""
    means = [score for score in scores if "/" not in score.name]
    return tuple(GapRow(_name(score.name), score) for score in means or scores)


def _build_patient_rows(scores: tuple[GeneralisationGap, ...]) -> tuple[GapRow, ...]:
    return tuple(
        GapRow(f"Patients with {score.name.partition('/')[2]}: sensitivity", score, "patients")
        for score in scores
    )


def _name(score: str) -> str:
    known = {"macro_auroc": "Macro AUROC", "balanced_accuracy": "Balanced accuracy"}
    return known.get(score, score.replace("/", " of ", 1).capitalize())
