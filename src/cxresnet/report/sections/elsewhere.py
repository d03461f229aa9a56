"""Films from places that the network never saw: sources left out, and other datasets."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.left_out_sources import LeaveOneSourceOut
from cxresnet.evaluate.results import GapScore
from cxresnet.report.section import Section

__all__ = ["ElsewhereView", "GapRow", "build_elsewhere_section", "build_gap_rows"]


@dataclass(frozen=True)
class GapRow:
    """One number inside, elsewhere and between.

    Attributes:
        name: For people.
        score: The number.
        counted: What counts as one there: "films" or "patients".
    """

    name: str
    score: GapScore
    counted: str = "films"


@dataclass(frozen=True)
class ElsewhereView:
    """What the template shows.

    Attributes:
        left_out: Sources left out one by one; None where nobody asked.
        rows: From source to its numbers.
        mean: Over the sources that were tested.
        externals: Other datasets, each with its rows.
    """

    left_out: LeaveOneSourceOut | None
    rows: dict[str, tuple[GapRow, ...]]
    mean: tuple[GapRow, ...]
    externals: tuple[tuple[ExternalTest, tuple[GapRow, ...]], ...]


def build_elsewhere_section(
    left_out: LeaveOneSourceOut | None, externals: tuple[ExternalTest, ...]
) -> Section:
    """Build the section; without anything from elsewhere it says how to get it."""
    anchor, title, short = "elsewhere", "Elsewhere: hospitals it never saw", "Elsewhere"
    if left_out is None and not externals:
        missing = (
            "Not tried yet, so nothing here says how the network does at another hospital. "
            "'cxresnet evaluate RUN --leave-one-source-out' tries it with the sources of this "
            "dataset, 'cxresnet evaluate RUN --dataset OTHER' with another one."
        )
        return Section(anchor, title, short, view=None, missing=missing)
    view = ElsewhereView(
        left_out=left_out,
        rows={one.source: build_gap_rows(one.scores) for one in left_out.sources}
        if left_out
        else {},
        mean=build_gap_rows(left_out.mean) if left_out else (),
        externals=tuple(
            (one, build_gap_rows(one.scores) + _build_patient_rows(one.by_patient))
            for one in externals
        ),
    )
    return Section(anchor, title, short, view=view)


def build_gap_rows(scores: tuple[GapScore, ...]) -> tuple[GapRow, ...]:
    """Take the means, or the sensitivity where there is nothing else."""
    means = [score for score in scores if "/" not in score.name]
    return tuple(GapRow(_name(score.name), score) for score in means or scores)


def _build_patient_rows(scores: tuple[GapScore, ...]) -> tuple[GapRow, ...]:
    return tuple(
        GapRow(f"Patients with {score.name.partition('/')[2]} found", score, "patients")
        for score in scores
    )


def _name(score: str) -> str:
    known = {"macro_auroc": "Macro AUROC", "balanced_accuracy": "Balanced accuracy"}
    return known.get(score, score.replace("/", " of ", 1).capitalize())
