"""The card as Markdown, for documents and for reading on a terminal."""

from __future__ import annotations

from cxresnet.explain.trust.record import MethodCard, TestResult, TrustCard
from cxresnet.explain.trust.verdicts import RULES
from cxresnet.metrics.estimate import Estimate

__all__ = ["MARKDOWN_NAME", "render_markdown"]

MARKDOWN_NAME = "trust_card.md"

_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "not tested": "– not tested"}


def render_markdown(card: TrustCard) -> str:
    """Render the card: one row a method, one column a test, then every sentence.

    Args:
        card: The card.

    Returns:
        Markdown with headings of the third level and below.
    """
    head = ["Method", *(rule.title for rule in RULES), "Together"]
    basis = (
        f"*{card.disclaimer}* {card.films} films, no two of one patient; "
        f"{card.masks_found} lung masks from the lung finder; seed {card.seed}."
    )
    lines = [
        basis,
        "",
        card.knowledge.sentence,
        *(["", card.data_verdict] if card.data_verdict else []),
        "",
        _render_row(head),
        _render_row(["---"] * len(head)),
        *(_render_method(method) for method in card.methods),
        "",
        *(line for method in card.methods for line in _render_sentences(method)),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return "\n".join([*lines, f"Versions: {versions}."]) + "\n"


def _render_method(method: MethodCard) -> str:
    cells = [_render_cell(test) for test in method.tests]
    together = "✓ trusted" if method.trusted else "✗ **not trustworthy for this model**"
    return _render_row([method.title, *cells, together])


def _render_cell(test: TestResult) -> str:
    mark = _MARKS[test.verdict]
    return f"{mark} {_render_number(test.measures[0].estimate)}" if test.measures else mark


def _render_number(estimate: Estimate) -> str:
    if estimate.value is None:
        return ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _render_sentences(method: MethodCard) -> list[str]:
    titles = {rule.test: rule.title for rule in RULES}
    return [
        f"**{method.title}**",
        "",
        *(f"- {titles[test.test]}: {test.verdict}. {test.sentence}" for test in method.tests),
        "",
    ]


def _render_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
