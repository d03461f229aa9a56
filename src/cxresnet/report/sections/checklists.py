"""The reporting checklists, filled from the run's files."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.report.checklists.checklist import AnsweredItem, Checklist, count_answers
from cxresnet.report.checklists.evidence import Evidence
from cxresnet.report.checklists.write import fill_checklists
from cxresnet.report.section import Section

__all__ = ["ChecklistView", "FilledChecklist", "build_checklists_section"]


@dataclass(frozen=True)
class FilledChecklist:
    """One checklist with its answers, and how many of each kind."""

    checklist: Checklist
    items: tuple[AnsweredItem, ...]
    counts: str


@dataclass(frozen=True)
class ChecklistView:
    """What the template shows; `badges` is the colour of each answer."""

    filled: tuple[FilledChecklist, ...]
    badges: dict[str, str]


def build_checklists_section(evidence: Evidence) -> Section:
    """Build the section."""
    filled = tuple(
        FilledChecklist(checklist, items, count_answers(items))
        for checklist, items in fill_checklists(evidence).items()
    )
    badges = {"yes": "green", "partly": "amber", "no": "red", "not known": ""}
    view = ChecklistView(filled, badges)
    return Section("checklists", "What a reviewer asks for", "Checklists", view=view)
