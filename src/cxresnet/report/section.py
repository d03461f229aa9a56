"""What every section of the page has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Notice", "Section", "Verdict"]

Verdict = Literal["red", "amber", "green", "grey"]
"""red: do not believe; amber: read with care; green: tested and fine; grey: a note."""


@dataclass(frozen=True)
class Notice:
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
class Section:
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
