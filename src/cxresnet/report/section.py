"""What every section of the page has in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from cxresnet.core.finding import Finding
from cxresnet.evaluate.record import Evaluation
from cxresnet.report.formatting import format_share
from cxresnet.shortcuts.confounding import find_single_source_classes

Verdict = Literal["red", "amber", "green", "grey"]
"""red: do not rely on it; amber: read with care; green: checked and fine; grey: a note."""


@dataclass(frozen=True)
class ReportWarning:
    """One thing that must be known before the numbers are read.

    Attributes:
        verdict: How bad it is.
        title: A few words.
        sentence: What it means, in plain words.
    """

    verdict: Verdict
    title: str
    sentence: str


@dataclass(frozen=True)
class ReportSection:
    """One section of the page.

    Attributes:
        anchor: Its address in the page, and the name of its template.
        title: Its heading.
        short_title: Its name in the list of contents.
        view: What its template shows; None where the run has not come so far.
        missing: Why there is nothing to show, and how to get it; "" where there is.
    """

    anchor: str
    title: str
    short_title: str
    view: object | None
    missing: str = ""


# Warnings: what must be known before any number is read, in plain words.


_SOURCE_CONFOUNDING = "source_confounding"
_MANY_WITHOUT_PATIENT = 0.05


def find_data_warnings(
    manifest: pd.DataFrame, *, findings: Sequence[Finding] = ()
) -> tuple[ReportWarning, ...]:
    """Find what the images themselves make doubtful.

    Args:
        manifest: Of the prepared dataset.
        findings: Results of the checks of the images; where class-source confounding was checked,
            that finding stands instead of our simpler look at the sources.
    """
    warnings = _find_phantoms(manifest)
    if not any(finding.question == _SOURCE_CONFOUNDING for finding in findings):
        warnings += _warn_of_single_source_classes(manifest)
    without = float((manifest["patient_id"] == "").mean())
    if without > _MANY_WITHOUT_PATIENT:
        sentence = (
            f"{format_share(without)} of the images have no patient ID. Their near-duplicates are "
            "kept in one split, but two different images of one patient may lie in both training "
            "and test, and the scores may be too high."
        )
        warnings.append(ReportWarning("amber", "Unknown patients", sentence))
    return (*warnings, *find_finding_warnings(findings))


def _find_phantoms(manifest: pd.DataFrame) -> list[ReportWarning]:
    drawn = manifest["source"].str.startswith("phantom")
    if not drawn.any():
        return []
    what = (
        "All images are"
        if drawn.all()
        else f"{format_share(float(drawn.mean()))} of the images are"
    )
    sentence = (
        f"{what} phantoms: chest X-rays drawn by a program, to try out this tool. "
        "No result on this page says anything about a disease, a hospital or a patient."
    )
    return [ReportWarning("amber", "Drawings, not patients", sentence)]


def _warn_of_single_source_classes(manifest: pd.DataFrame) -> list[ReportWarning]:
    """Warn of classes that the source alone predicts."""
    found = find_single_source_classes(manifest["source"], manifest["class_name"])
    return [
        ReportWarning(
            "red",
            f"Class {class_name} has sources of its own",
            f"Every image of class {class_name} comes from a source that has no other class "
            f"({', '.join(sources)}). The model may have learnt to recognise the source (its "
            "scanner, its labels, the age of its patients) and not the disease. No score on this "
            "page can distinguish the two.",
        )
        for class_name, sources in found.items()
    ]


def find_finding_warnings(findings: Sequence[Finding]) -> tuple[ReportWarning, ...]:
    """Show the findings that are not green at the top of the page."""
    return tuple(
        ReportWarning(
            "grey" if finding.verdict == "cannot be tested" else finding.verdict,
            finding.title,
            finding.sentence,
        )
        for finding in findings
        if finding.verdict != "green"
    )


def find_test_warnings(evaluation: Evaluation) -> tuple[ReportWarning, ...]:
    """Join the caveats of the test into one warning."""
    if not evaluation.warnings:
        return ()
    sentences = " ".join(evaluation.warnings)
    return (ReportWarning("amber", "Caveats of the test", sentences),)


def sort_warnings(warnings: Iterable[ReportWarning]) -> tuple[ReportWarning, ...]:
    """Put the worst first, and show nothing twice."""
    order = ("red", "amber", "green", "grey")
    return tuple(sorted(dict.fromkeys(warnings), key=lambda warning: order.index(warning.verdict)))
