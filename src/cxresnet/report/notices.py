"""What must be known before any number is read, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from cxresnet.core.finding import Finding
from cxresnet.evaluate.record import Evaluation
from cxresnet.report.section import Notice
from cxresnet.report.words import show_share

__all__ = ["find_film_notices", "find_finding_notices", "find_test_notices", "sort_notices"]

_SOURCE_ORACLE = "source_oracle"
_MANY_WITHOUT_PATIENT = 0.05


def find_film_notices(
    manifest: pd.DataFrame, *, findings: Sequence[Finding] = ()
) -> tuple[Notice, ...]:
    """Find what the films themselves make doubtful.

    Args:
        manifest: Of the prepared dataset.
        findings: What was asked of the films; where the source oracle was asked, its answer stands
            instead of our simpler look at the sources.
    """
    notices = _find_phantoms(manifest)
    if not any(finding.question == _SOURCE_ORACLE for finding in findings):
        notices += _find_classes_that_are_sources(manifest)
    without = float((manifest["patient_id"] == "").mean())
    if without > _MANY_WITHOUT_PATIENT:
        sentence = (
            f"{show_share(without)} of the films do not say whose they are. For them only copies "
            "are kept apart; two different films of one patient may lie on both sides of the "
            "split, and the numbers may be too good."
        )
        notices.append(Notice("amber", "Patients unknown", sentence))
    return (*notices, *find_finding_notices(findings))


def _find_phantoms(manifest: pd.DataFrame) -> list[Notice]:
    drawn = manifest["source"].str.startswith("phantom")
    if not drawn.any():
        return []
    what = "All films are" if drawn.all() else f"{show_share(float(drawn.mean()))} of the films are"
    sentence = (
        f"{what} phantoms: chest films drawn by a program to try this tool out. "
        "Nothing here says anything about a disease, a hospital or a patient."
    )
    return [Notice("amber", "Drawings, not patients", sentence)]


def _find_classes_that_are_sources(manifest: pd.DataFrame) -> list[Notice]:
    """Find classes that one can tell from the source alone."""
    counts = pd.crosstab(manifest["source"], manifest["class_name"])
    if counts.shape[0] < 2:
        return []
    pure = (counts > 0).sum(axis=1) == 1
    notices = []
    for class_name in counts.columns:
        own = counts.index[(counts[class_name] > 0)]
        if pure[own].all():
            names = ", ".join(str(name) for name in own)
            sentence = (
                f"Every film of class {class_name} comes from a source that holds no other class "
                f"({names}). The network may have learnt to tell the source (its scanner, its "
                "letters, its patients' age) and not the disease. No number below can tell the "
                "one from the other."
            )
            notices.append(Notice("red", f"Class {class_name} equals its source", sentence))
    return notices


def find_finding_notices(findings: Sequence[Finding]) -> tuple[Notice, ...]:
    """Lift the findings that are not green to the top of the page."""
    return tuple(
        Notice(finding.verdict, finding.title, finding.sentence)
        for finding in findings
        if finding.verdict != "green"
    )


def find_test_notices(evaluation: Evaluation) -> tuple[Notice, ...]:
    """Find what the test says of its own numbers; all of it stands in one notice."""
    if not evaluation.warnings:
        return ()
    sentences = " ".join(evaluation.warnings)
    return (Notice("amber", "What the test says beside its numbers", sentences),)


def sort_notices(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Put the worst first, and say nothing twice."""
    order = ("red", "amber", "green", "grey")
    return tuple(sorted(dict.fromkeys(notices), key=lambda notice: order.index(notice.verdict)))
