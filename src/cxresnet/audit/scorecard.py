"""The scorecard: one line a question, and a headline that says what the model goes by.

audit/
  scorecard.json   the verdict, the headline and all findings
  scorecard.md     the same, to read
  NAME.json        the answer to one question, and what it was computed from
  NAME-….png       its pictures
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from cxresnet import DISCLAIMER
from cxresnet.core.files import write_text
from cxresnet.core.finding import Finding, Measure, Verdict
from cxresnet.core.record import Record, read_record, write_record

SCORECARD_NAME = "scorecard.json"
"""Name of the file in the folder of an audit."""

OWN_SCORE = "Balanced accuracy on the test images"
FOLLOWS_LUNGS = "Decision follows the lungs"
ABOVE_BASELINE = "Balanced accuracy above the best shortcut baseline"
UNSEEN_SOURCES = "Score on sources never seen"
"""Measures that the headline quotes; the questions that measure them use these names."""

_MUST_BE_GREEN = ("masked_lungs", "source_probe", "frame_swap", "external")
"""What was learnt, what could be used, what is used, and whether it holds elsewhere."""


class Scorecard(Record):
    """`scorecard.json`.

    Attributes:
        format: Version of this file.
        disclaimer: Stands on every output.
        model: Name of the model.
        dataset: Name of the dataset.
        dataset_hash: Of its images.
        images: Test images of the audit.
        patients: Independent groups among them.
        verdict: Red where any finding is; green only where the four questions that decide and all
            others that could be tested are.
        headline: What the model goes by, in one sentence.
        reason: Which questions the verdict comes from, in one sentence.
        findings: One a question, in order.
        seed: Of all random draws.
        versions: Of the software.
    """

    format: Literal[1] = 1
    disclaimer: str = DISCLAIMER
    model: str
    dataset: str
    dataset_hash: str
    images: int
    patients: int
    verdict: Verdict
    headline: str
    reason: str
    findings: tuple[Finding, ...]
    seed: int
    versions: dict[str, str]

    def find(self, question: str) -> Finding | None:
        """Find the finding of a question; None where it was not asked."""
        return next((one for one in self.findings if one.question == question), None)


def read_scorecard(folder: Path) -> Scorecard:
    """Read the scorecard of an audit.

    Raises:
        RunFolderError: It is missing, damaged, altered, or of another version.
    """
    return read_record(folder / SCORECARD_NAME, Scorecard, command="cxresnet audit RUN")


def write_scorecard(folder: Path, scorecard: Scorecard) -> Path:
    """Write the scorecard as JSON and as Markdown; returns the path of the JSON."""
    write_text(folder / "scorecard.md", render_markdown(scorecard))
    return write_record(folder / SCORECARD_NAME, scorecard)


def choose_verdict(findings: Sequence[Finding]) -> Verdict:
    """Choose the verdict over all questions.

    Returns:
        Red where any finding is. Green where each of the four questions that decide is green and
        no other is amber. Else amber: also where one of the four could not be tested, as where
        every source holds one class.
    """
    verdicts = {one.question: one.verdict for one in findings}
    if "red" in verdicts.values():
        return "red"
    decided = all(verdicts.get(name) == "green" for name in _MUST_BE_GREEN)
    return "green" if decided and "amber" not in verdicts.values() else "amber"


def describe_reason(findings: Sequence[Finding]) -> str:
    """Describe which questions the verdict comes from, by their numbers.

    >>> ask = Finding(question="leakage", number=2, title="", verdict="red", sentence="")
    >>> describe_reason([ask])
    'Red because of question 2.'
    """
    verdict = choose_verdict(findings)
    if verdict == "green":
        return "Green: the four questions that decide are green, and no other is amber or red."
    guilty = [str(one.number) for one in findings if one.verdict == verdict]
    untested = {one.question for one in findings if one.verdict == "cannot be tested"}
    known = {one.question for one in findings} - untested
    missing = [name for name in _MUST_BE_GREEN if name not in known]
    parts = []
    if guilty:
        word = "question" if len(guilty) == 1 else "questions"
        parts.append(f"because of {word} {', '.join(guilty)}")
    if missing and verdict == "amber":
        parts.append(f"not asked or cannot be tested: {', '.join(missing)}")
    separator = " " if guilty else ": "
    return f"{verdict.capitalize()}{separator}{'; '.join(parts)}."


def describe_headline(findings: Sequence[Finding]) -> str:
    """Describe what the model goes by in one sentence.

    >>> swaps = Finding(question="frame_swap", title="", verdict="green", sentence="",
    ...     measures=(Measure(name=FOLLOWS_LUNGS, value=0.91, low=0.85, high=0.95, n=120),))
    >>> print(describe_headline([swaps]))
    The decision follows the lungs in 91 % of swaps (85–95 %, n = 120); not compared with \
shortcut baselines; not tested on sources never seen.
    """
    own, swaps, above, unseen = (
        _find_measure(findings, name)
        for name in (OWN_SCORE, FOLLOWS_LUNGS, ABOVE_BASELINE, UNSEEN_SOURCES)
    )
    not_swapped = (
        "no lungs could be swapped"
        if any(one.question == "frame_swap" for one in findings)
        else "not asked whether the decision follows the lungs"
    )
    parts = [
        not_swapped
        if swaps is None
        else f"the decision follows the lungs in {_format_share(swaps)} of swaps"
        f"{_format_range(swaps)}",
        _describe_own(own, above),
        "not tested on sources never seen"
        if unseen is None
        else f"{unseen.note} {unseen.value:.2f}{_format_signed_range(unseen, sign='')} on sources "
        "never seen",
    ]
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _describe_own(own: Measure | None, above: Measure | None) -> str:
    """Describe the model's own score, and how far it is above the best shortcut baseline."""
    compared = (
        "not compared with shortcut baselines"
        if above is None
        else f"{above.value:+.2f}{_format_signed_range(above)} against the best shortcut baseline"
    )
    if own is None:
        return compared
    return f"balanced accuracy is {own.value:.2f}{_format_signed_range(own, sign='')}, {compared}"


def _find_measure(findings: Sequence[Finding], name: str) -> Measure | None:
    return next(
        (
            measure
            for finding in findings
            for measure in finding.measures
            if measure.name == name and measure.value is not None
        ),
        None,
    )


def _format_share(measure: Measure) -> str:
    return f"{100 * (measure.value or 0):.0f} %"


def _format_range(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return f" (n = {measure.n})"
    return f" ({100 * measure.low:.0f}–{100 * measure.high:.0f} %, n = {measure.n})"


def _format_signed_range(measure: Measure, *, sign: str = "+") -> str:
    if measure.low is None or measure.high is None:
        return f" (n = {measure.n})"
    separator = " to " if sign else "–"
    return f" ({measure.low:{sign}.2f}{separator}{measure.high:{sign}.2f}, n = {measure.n})"


# The scorecard as Markdown, for documents and for reading on a terminal.


def render_markdown(scorecard: Scorecard) -> str:
    """Render the scorecard: verdict, headline, one row a question, then every answer."""
    asked = (
        f"{scorecard.images} test images of {scorecard.patients} patients of dataset "
        f"'{scorecard.dataset}'"
    )
    lines = [
        f"# Audit of {scorecard.model}",
        "",
        f"*{scorecard.disclaimer}* {asked}; seed {scorecard.seed}.",
        "",
        f"**{scorecard.verdict.upper()}.** {scorecard.headline}",
        "",
        f"{scorecard.reason} Intervals are 95 % unless said otherwise; n counts what is named.",
        "",
        "| | question | name | verdict |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one.number} | {one.title} | `{one.question}` | {one.verdict} |"
            for one in scorecard.findings
        ),
        "",
        *(line for one in scorecard.findings for line in _render_finding(one)),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in scorecard.versions.items())
    return "\n".join([*lines, f"Versions: {versions}."]) + "\n"


def _render_finding(finding: Finding) -> Iterator[str]:
    yield f"## {finding.number}. {finding.title}"
    yield ""
    yield f"{finding.verdict.capitalize()}. {finding.sentence}"
    yield ""
    for measure in finding.measures:
        yield f"- {describe_measure(measure)}"
    if finding.measures:
        yield ""
    if finding.threshold:
        yield f"Lights: {finding.threshold}"
        yield ""
    if finding.next_step:
        yield f"Next step: {finding.next_step}"
        yield ""
    for picture in finding.pictures:
        yield f"![{picture.caption}]({picture.name})"
        yield ""


def describe_measure(measure: Measure) -> str:
    """Describe a number with its interval and n.

    >>> describe_measure(Measure(name="Share", value=0.5, low=0.4, high=0.6, n=100, note="half"))
    'Share: 0.500 (0.400 to 0.600, n = 100); half'
    """
    if measure.value is None:
        return f"{measure.name}: {measure.note or 'unknown'}"
    span = (
        ""
        if measure.low is None or measure.high is None
        else f"{measure.low:.3f} to {measure.high:.3f}, "
    )
    note = f"; {measure.note}" if measure.note else ""
    return f"{measure.name}: {measure.value:.3f} ({span}n = {measure.n}){note}"
