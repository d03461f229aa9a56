"""The trust card on the page: words and shapes beside every colour."""

from __future__ import annotations

from cxresnet.explain.trust.record import TrustCard
from cxresnet.report.sections.trust import TrustView, build_trust_section


def test_each_cell_has_a_shape_and_a_word(trust_card: TrustCard) -> None:
    view = build_trust_section(trust_card).view
    assert isinstance(view, TrustView)
    cells = view.methods[0].cells
    assert [(cell.mark, cell.verdict) for cell in cells][::5] == [
        ("✗", "fail"),
        ("–", "not tested"),
    ]
    assert cells[0].number == "0.83 (0.70 to\u00a00.90), n\u00a0=\u00a012"
    assert cells[5].number == ""
    assert len(cells) == len(view.rules)


def test_without_a_card_the_page_says_how_to_get_one() -> None:
    section = build_trust_section(None)
    assert section.view is None
    assert "cxresnet explain" in section.missing
