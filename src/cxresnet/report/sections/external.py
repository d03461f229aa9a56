"""External tests: sources left out of training, and other datasets."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveOneSourceOut
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.report.registry import register_section


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
class ExternalView:
    """What the template shows.

    Attributes:
        left_out: Sources left out one by one; None where that was not run.
        rows: From source to its numbers.
        mean: Over the sources that were tested.
        externals: Other datasets, each with its rows.
    """

    left_out: LeaveOneSourceOut | None
    rows: dict[str, tuple[GapRow, ...]]
    mean: tuple[GapRow, ...]
    externals: tuple[tuple[ExternalTest, tuple[GapRow, ...]], ...]


@register_section(
    "external",
    title="External test: sources that the model was not trained on",
    short_title="External test",
    order=60,
    any_of=("left_out", "externals"),
    missing=(
        "Not tested yet: nothing on this page shows how the model performs at another hospital. "
        "'cxresnet evaluate RUN --leave-one-source-out' tests it on the sources of this dataset "
        "one by one, 'cxresnet evaluate RUN --dataset OTHER' on another dataset."
    ),
)
def build_external_view(
    left_out: LeaveOneSourceOut | None, externals: tuple[ExternalTest, ...]
) -> ExternalView:
    """Put the internal and the external scores side by side."""
    return ExternalView(
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
