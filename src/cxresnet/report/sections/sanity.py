"""The sanity checks of the maps: each method and each check, in words and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxresnet.core.config import ExplainConfig
from cxresnet.explain.sanity.check import SanityCheck, list_checks, report_untested
from cxresnet.explain.sanity.record import MethodCard, SanityCard, SanityMeasure, TestResult
from cxresnet.metrics.estimate import format_estimate
from cxresnet.report.registry import register_section

_MARKS = {"pass": "✓", "fail": "✗", "not tested": "–"}
_COLOURS = {"pass": "green", "fail": "red", "not tested": "grey"}


@dataclass(frozen=True)
class CellView:
    """One check of one method.

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
        passed: No test failed.
        cells: In the order of the rules.
    """

    title: str
    passed: bool
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class SanityView:
    """What the template shows.

    Attributes:
        card: As recorded.
        usual_images: Images that the checks use if there are enough, and without --quick.
        tests: The tests, in order.
        methods: One row each.
    """

    card: SanityCard
    usual_images: int
    tests: tuple[SanityCheck, ...]
    methods: tuple[MethodView, ...]


@register_section(
    "sanity",
    title="Sanity checks: can the attribution maps be trusted?",
    short_title="Sanity checks",
    order=110,
    needs=("sanity",),
    missing="Not checked yet. 'cxresnet explain RUN' computes the maps and checks them.",
)
def build_sanity_view(card: SanityCard) -> SanityView:
    """Show each method and each check in words and shape."""
    return SanityView(
        card=card,
        usual_images=ExplainConfig().sanity_check_images,
        tests=list_checks(),
        methods=tuple(_build_method(method) for method in card.methods),
    )


def _build_method(method: MethodCard) -> MethodView:
    tests = {test.test: test for test in method.tests}
    # A card of an earlier version lacks a check that was added since.
    cells = tuple(
        _build_cell(
            tests.get(check.test)
            or report_untested(check.test, "This card is older than the check: run explain again."),
            check.title,
        )
        for check in list_checks()
    )
    return MethodView(method.title, method.passed, cells)


def _build_cell(test: TestResult, title: str) -> CellView:
    return CellView(
        mark=_MARKS[test.verdict],
        verdict=test.verdict,
        colour=_COLOURS[test.verdict],
        number=_show(test.measures),
        sentence=test.sentence,
        title=title,
    )


def _show(measures: Sequence[SanityMeasure]) -> str:
    if not measures or measures[0].estimate.value is None:
        return ""
    shown = format_estimate(measures[0].estimate, digits=2, with_count=True)
    return shown.replace("-0.00", "0.00").replace("-", "−")
