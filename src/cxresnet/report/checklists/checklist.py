"""A checklist: paraphrased items, each answered from the run's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cxresnet import DISCLAIMER
from cxresnet.report.checklists.facts_data import Answer, Evidence, Status

_ORDER: tuple[Status, ...] = ("yes", "partly", "no", "not known")


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        number: As in the published checklist.
        part: Of the checklist, for example "Data".
        requirement: What it requires, paraphrased.
        answer: From the evidence to the answer.
    """

    number: str
    part: str
    requirement: str
    answer: Callable[[Evidence], Answer]


@dataclass(frozen=True)
class AnsweredItem:
    """One item with its answer."""

    item: Item
    answer: Answer


@dataclass(frozen=True)
class Checklist:
    """A published checklist.

    Attributes:
        name: Of its file, without ending.
        title: For people.
        reference: Where it is published.
        items: In its order.
    """

    name: str
    title: str
    reference: str
    items: tuple[Item, ...]

    def fill(self, evidence: Evidence) -> tuple[AnsweredItem, ...]:
        """Answer every item; a yes without its artefact becomes "not known"."""
        return tuple(
            AnsweredItem(item, evidence.check(item.answer(evidence))) for item in self.items
        )


def ask_authors(what: str) -> Callable[[Evidence], Answer]:
    """Build the answer to an item that no file can answer: only the authors of a study can."""

    def answer(_: Evidence) -> Answer:
        return Answer("not known", f"To be stated by the authors: {what}.")

    return answer


def count_answers(filled: tuple[AnsweredItem, ...]) -> str:
    """Count the answers in one line, for example "20 yes, 9 partly, 1 no, 14 not known"."""
    counts = Counter(one.answer.status for one in filled)
    return ", ".join(f"{counts[status]} {status}" for status in _ORDER)


def render_markdown(checklist: Checklist, filled: tuple[AnsweredItem, ...]) -> str:
    """Render a filled checklist as Markdown."""
    whence = (
        f"{DISCLAIMER} Filled in by CXResnet from the files of the run. The items are paraphrased; "
        f"their numbers are those of {checklist.reference}."
    )
    lines = [
        f"# {checklist.title}",
        "",
        whence,
        "",
        f"{len(filled)} items: {count_answers(filled)}. The authors have to answer “not known”.",
        "",
        "| item | part | requirement | answer | evidence | file |",
        "|---|---|---|---|---|---|",
    ]
    for one in filled:
        item, answer = one.item, one.answer
        shown = f"`{answer.artefact}`" if answer.artefact else ""
        cells = (item.number, item.part, item.requirement, answer.status, answer.text, shown)
        lines.append(f"| {' | '.join(escape_markdown(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Keep a text inside its cell: no new line, no column, no tag."""
    safe = " ".join(text.split()).replace("|", "\\|")
    return safe.replace("<", "&lt;").replace(">", "&gt;")
