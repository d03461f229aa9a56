"""A finding: the result of one check of the data or the network, as a traffic light."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cxresnet.core.checksums import FileState, compare_checksum, record_checksums
from cxresnet.core.errors import DatasetError
from cxresnet.core.files import read_json, write_json

Verdict = Literal["green", "cannot be tested", "amber", "red"]

FINDINGS_NAME = "findings.json"
"""Name of the file in a dataset or run folder."""

VERDICTS: tuple[Verdict, ...] = ("green", "cannot be tested", "amber", "red")
"""From the best to the worst."""


class Measure(BaseModel):
    """One number of a finding.

    Attributes:
        name: What it is, for people.
        value: The number; None where it cannot be had.
        low: Lower end of its interval, where it has one.
        high: Upper end.
        n: How many images it rests on.
        note: A few words, for example what chance would give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    note: str = ""


class Picture(BaseModel):
    """A picture that shows what a finding rests on.

    Attributes:
        name: File name, beside the record of the finding.
        caption: What it shows, one or two sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    caption: str


class Finding(BaseModel):
    """The answer to one question.

    Attributes:
        question: Stable short name, for example "source_confounding".
        title: The question, for people.
        verdict: Traffic light; "cannot be tested" where the data do not allow an answer.
        sentence: The answer in one sentence.
        measures: The numbers behind it.
        threshold: From where on it is amber or red, and why; "" where the sentence says so.
        next_step: What to do about it; "" where nothing is to be done.
        pictures: The evidence to look at.
        number: Of the question on a scorecard; 0 where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    title: str
    verdict: Verdict
    sentence: str
    measures: tuple[Measure, ...] = ()
    threshold: str = ""
    next_step: str = ""
    pictures: tuple[Picture, ...] = ()
    number: int = 0


def choose_worst(findings: Sequence[Finding]) -> Finding | None:
    """Choose the finding to stamp on later outputs: the worst, the first of those; None if none."""
    if not findings:
        return None
    return max(findings, key=lambda finding: VERDICTS.index(finding.verdict))


def describe_stamp(findings: Sequence[Finding]) -> str:
    """Describe the worst finding in one sentence: the stamp on every later output.

    >>> describe_stamp([])
    ''
    >>> ask = Finding(question="q", title="Q?", verdict="red", sentence="It does.")
    >>> describe_stamp([ask])
    'Verdict on the data: RED. It does.'
    """
    worst = choose_worst(findings)
    if worst is None:
        return ""
    return f"Verdict on the data: {worst.verdict.upper()}. {worst.sentence}"


def write_findings(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write the findings of a dataset or run; returns the path of the file."""
    path = write_json(folder / FINDINGS_NAME, [finding.model_dump() for finding in findings])
    record_checksums(path)
    return path


def read_findings(folder: Path) -> tuple[Finding, ...]:
    """Read the findings of a dataset or run; none if it was not audited yet.

    Raises:
        DatasetError: The file is there but cannot be read, or was altered.
    """
    path = folder / FINDINGS_NAME
    if not path.is_file():
        return ()
    if compare_checksum(path) is FileState.ALTERED:
        raise DatasetError(
            f"'{path}' was altered after it was written; audit the data again with "
            "'cxresnet prepare'."
        )
    try:
        return tuple(Finding.model_validate(item) for item in read_json(path))
    except (ValueError, ValidationError) as error:
        raise DatasetError(
            f"'{path}' is damaged; audit the data again with 'cxresnet prepare'."
        ) from error
