"""The sanity checks on the page: words and shapes beside every colour."""

from __future__ import annotations

from cxresnet.explain.sanity.record import SanityCard
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.page import _build_environment
from cxresnet.report.registry import build_section
from cxresnet.report.sections.sanity import build_sanity_view


def test_each_cell_has_a_shape_and_a_word(sanity_card: SanityCard) -> None:
    view = build_sanity_view(sanity_card)
    cells = view.methods[0].cells
    assert [(cell.mark, cell.verdict) for cell in cells][::5] == [
        ("✗", "fail"),
        ("–", "not tested"),
    ]
    assert cells[0].number == "0.83 (0.70–0.90, n = 12)"
    assert cells[5].number == ""
    assert len(cells) == len(view.tests)


def test_fewer_images_than_usual_are_said(sanity_card: SanityCard) -> None:
    template = _build_environment().get_template("sanity.html.j2")
    for images, is_said in ((12, True), (36, False)):
        card = sanity_card.model_copy(update={"images": images})
        page = template.render(view=build_sanity_view(card))
        assert ("fewer than the usual 36 images" in page) == is_said


def test_without_a_card_the_page_says_how_to_get_one() -> None:
    section = build_section("sanity", RunArtifacts(name="new"))
    assert section.view is None
    assert "cxresnet explain" in section.missing
