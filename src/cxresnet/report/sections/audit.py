"""The scorecard of the audit: one line a question, then numbers, pictures and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cxresnet.audit.open import AUDIT_NAME
from cxresnet.audit.scorecard import Scorecard
from cxresnet.core.finding import Finding, Measure
from cxresnet.report.page import build_data_uri
from cxresnet.report.registry import register_section

_COLOURS = {"red": "red", "amber": "amber", "green": "green", "cannot be tested": "grey"}
_MARKS = {"red": "✗", "amber": "!", "green": "✓", "cannot be tested": "–"}
_LARGEST_PX = 1400


@dataclass(frozen=True)
class PictureView:
    """One picture of the evidence.

    Attributes:
        uri: The picture itself, as a `data:` address.
        caption: What it shows.
    """

    uri: str
    caption: str


@dataclass(frozen=True)
class QuestionView:
    """One question.

    Attributes:
        finding: The answer.
        colour: Of its badge.
        mark: A sign beside the word, for those who do not see colours.
        number: The first measure with its interval; "" where there is none.
        pictures: The evidence to look at.
    """

    finding: Finding
    colour: str
    mark: str
    number: str
    pictures: tuple[PictureView, ...]


@dataclass(frozen=True)
class AuditView:
    """What the template shows.

    Attributes:
        scorecard: As recorded.
        colour: Of the verdict over all questions.
        questions: One each, in order.
    """

    scorecard: Scorecard
    colour: str
    questions: tuple[QuestionView, ...]


@register_section(
    "audit",
    title="Audit: does the model read the lungs, or the hospital?",
    short_title="Audit",
    order=5,
    needs=("audit", "folder"),
    missing="Not audited yet. 'cxresnet audit RUN' asks thirteen questions: what the model goes "
    "by, whether shortcuts change its answers, and what is left on other sources.",
)
def build_audit_view(scorecard: Scorecard, folder: Path) -> AuditView:
    """Show each answer with its numbers and pictures; a picture that is gone is left out."""
    return AuditView(
        scorecard=scorecard,
        colour=_COLOURS[scorecard.verdict],
        questions=tuple(
            QuestionView(
                finding=finding,
                colour=_COLOURS[finding.verdict],
                mark=_MARKS[finding.verdict],
                number=_show(finding.measures[0]) if finding.measures else "",
                pictures=_read_pictures(finding, folder / AUDIT_NAME),
            )
            for finding in scorecard.findings
        ),
    )


def _read_pictures(finding: Finding, folder: Path) -> tuple[PictureView, ...]:
    return tuple(
        PictureView(_read_uri(folder / picture.name), picture.caption)
        for picture in finding.pictures
        if (folder / picture.name).is_file()
    )


def _read_uri(path: Path) -> str:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return build_data_uri(pixels, largest_side_px=_LARGEST_PX)


def _show(measure: Measure) -> str:
    if measure.value is None:
        return ""
    span = (
        ""
        if measure.low is None or measure.high is None
        else f" ({measure.low:.2f} to {measure.high:.2f})"
    )
    return f"{measure.value:.2f}{span}".replace("-", "−")
