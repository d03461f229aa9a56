"""Writes the checklists and the model card of a run as Markdown."""

from __future__ import annotations

from pathlib import Path

from cxresnet.core.files import write_text
from cxresnet.report.checklists.checklist import AnsweredItem, Checklist, render_markdown
from cxresnet.report.checklists.claim import CLAIM
from cxresnet.report.checklists.evidence import Evidence
from cxresnet.report.checklists.model_card import render_model_card
from cxresnet.report.checklists.tripod_ai import TRIPOD_AI

__all__ = ["CHECKLISTS", "fill_checklists", "write_checklists"]

CHECKLISTS = (CLAIM, TRIPOD_AI)


def fill_checklists(evidence: Evidence) -> dict[Checklist, tuple[AnsweredItem, ...]]:
    """Fill every checklist from what a run holds."""
    return {checklist: checklist.fill(evidence) for checklist in CHECKLISTS}


def write_checklists(evidence: Evidence, folder: Path) -> tuple[Path, ...]:
    """Write `claim.md`, `tripod_ai.md` and `model_card.md`; returns their paths.

    Raises:
        StorageError: They cannot be written.
    """
    written = [
        write_text(folder / f"{checklist.name}.md", render_markdown(checklist, filled))
        for checklist, filled in fill_checklists(evidence).items()
    ]
    return (*written, write_text(folder / "model_card.md", render_model_card(evidence)))
