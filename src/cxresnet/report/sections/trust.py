"""Whether the maps can be trusted: each method, each test, in words and shape."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.explain.trust.record import MethodCard, TestResult, TrustCard
from cxresnet.explain.trust.verdicts import RULES, Rule
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.section import Section

__all__ = ["CellView", "MethodView", "TrustView", "build_trust_section"]

_MARKS = {"pass": "✓", "fail": "✗", "not tested": "–"}
_COLOURS = {"pass": "green", "fail": "red", "not tested": "grey"}


@dataclass(frozen=True)
class CellView:
    """One test of one method.

    Attributes:
        mark: A tick, a cross or a dash.
        verdict: The same in words.
        colour: The same as the name of a badge.
        number: What decided, with its interval; "" where there is none.
        sentence: Why.
        title: Of the test.
    """

    mark: str
    verdict: str
    colour: str
    number: str
    sentence: str
    title: str


@dataclass(frozen=True)
class MethodView:
    """One method.

    Attributes:
        title: Of the method.
        trusted: No test failed.
        cells: In the order of the rules.
    """

    title: str
    trusted: bool
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class TrustView:
    """What the template shows.

    Attributes:
        card: As recorded.
        rules: The tests, in order.
        methods: One row each.
    """

    card: TrustCard
    rules: tuple[Rule, ...]
    methods: tuple[MethodView, ...]


def build_trust_section(card: TrustCard | None) -> Section:
    """Build the section; without a card it says how to get one."""
    anchor, title, short = "trust", "Can the maps be trusted?", "Trust card"
    if card is None:
        missing = "Not tested yet. 'cxresnet explain RUN' tests the maps that it makes."
        return Section(anchor, title, short, view=None, missing=missing)
    view = TrustView(card, RULES, tuple(_build_method(method) for method in card.methods))
    return Section(anchor, title, short, view=view)


def _build_method(method: MethodCard) -> MethodView:
    titles = {rule.test: rule.title for rule in RULES}
    cells = tuple(_build_cell(test, titles[test.test]) for test in method.tests)
    return MethodView(method.title, method.trusted, cells)


def _build_cell(test: TestResult, title: str) -> CellView:
    return CellView(
        mark=_MARKS[test.verdict],
        verdict=test.verdict,
        colour=_COLOURS[test.verdict],
        number=_show(test.measures[0].estimate) if test.measures else "",
        sentence=test.sentence,
        title=title,
    )


def _show(estimate: Estimate) -> str:
    if estimate.value is None:
        return ""
    number = f"n\u00a0=\u00a0{estimate.n}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}, no interval, {number}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to\u00a0{estimate.high:.2f}), {number}"
