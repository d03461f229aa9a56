"""Films in words are shown as recorded, and names that people give are text."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.explain.concept import ClassConcept, Concept, ZoneUse
from cxresnet.explain.insights import Insights, InsightsIndex
from cxresnet.explain.neighbours import FilmNeighbours, Neighbour
from cxresnet.explain.record import Attributions
from cxresnet.explain.story import FilmStory
from cxresnet.explain.zones import OUTSIDE, ZONE_NAMES
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.page import render_page
from cxresnet.report.section import Section
from cxresnet.report.sections.concept import ConceptView, build_concept_section
from cxresnet.report.sections.explanation import build_explanation_section
from cxresnet.report.sections.story import StoryView, build_story_section
from cxresnet.report.zone_drawing import draw_zones_svg

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}$\\frac$"
SENTENCE = "62% of what argues for covid-19 to the network lies in the lower outer zones."


def _build_concept() -> Concept:
    zones = tuple(
        ZoneUse(
            zone=name,
            share=Estimate(value=1 / 13, low=0.05, high=0.2, n=5, groups=4),
            area=0.64 if name == OUTSIDE else 0.03,
        )
        for name in ZONE_NAMES
    )
    one = ClassConcept(
        class_name="covid-19",
        films=5,
        patients=4,
        without_lungs=1,
        found_lungs=2,
        without_evidence=0,
        zones=zones,
    )
    empty = one.model_copy(update={"class_name": HOSTILE, "films": 0, "zones": ()})
    return Concept(method="Occlusion", classes=(one, empty))


@pytest.fixture
def insights(attributions: Attributions) -> Insights:
    stories = tuple(
        FilmStory(
            image_id=film.image_id,
            class_name=film.explained_class,
            probability=0.75,
            method="occlusion",
            lung_source="lung finder",
            words=(SENTENCE, HOSTILE),
        )
        for film in attributions.index.films
    )
    alike = Neighbour(image_id=HOSTILE, class_name=HOSTILE, source=HOSTILE, likeness=0.5)
    near = alike.model_copy(update={"class_name": "normal", "likeness": 0.95})
    neighbours = tuple(
        FilmNeighbours(image_id=HOSTILE, near_likeness=0.9, compared=9, neighbours=found)
        for found in ((near, alike), (alike,))
    )
    films = np.zeros((2, 2, 16, 16), np.uint8)
    films[0, 1] = 200
    return Insights(
        InsightsIndex(stories=stories, neighbours=neighbours, concept=_build_concept()), films
    )


def _view(attributions: Attributions, insights: Insights) -> StoryView:
    view = build_story_section(attributions, insights).view
    assert isinstance(view, StoryView)
    return view


def _render(attributions: Attributions, insights: Insights, *beside: Section) -> str:
    assert insights.index.concept is not None
    return render_page(
        "page.html.j2",
        title="t",
        lead="l",
        notices=(),
        sections=[
            build_story_section(attributions, insights),
            build_concept_section(insights.index.concept),
            *beside,
        ],
        evaluation=None,
        alarms=(),
        cards=(),
        best=None,
        class_names=(),
    )


def test_the_contour_of_the_lungs_is_white_on_film_and_map(
    attributions: Attributions, insights: Insights
) -> None:
    film = _view(attributions, insights).films[0]
    for address in (film.film_address, film.map_address):
        content = base64.b64decode(address.partition(",")[2])
        picture = np.asarray(Image.open(io.BytesIO(content)))
        assert (picture[4, 4:12] == 255).all()


def test_words_and_films_alike_stand_on_the_page(
    attributions: Attributions, insights: Insights
) -> None:
    page = _render(attributions, insights)
    assert page.count(SENTENCE) == 2
    assert "it looks most like these training films" in page
    assert "Nothing is near" in page
    assert "likeness 0.950" in page
    assert "contour by the lung finder" in page


def test_how_a_film_is_read_is_told_once(attributions: Attributions, insights: Insights) -> None:
    page = _render(attributions, insights, build_explanation_section(attributions))
    assert page.count("A chest X-ray is a shadow picture") == 1
    assert page.count("iaphragm (two smooth domes") == 1
    assert 'href="#story">films in plain words' in page


def test_films_alike_are_shown_in_their_order(
    attributions: Attributions, insights: Insights
) -> None:
    first = _view(attributions, insights).films[0]
    assert [one.neighbour.likeness for one in first.alike] == [0.95, 0.5]
    assert first.alike[0].address != first.alike[1].address


def test_hostile_names_are_text(attributions: Attributions, insights: Insights) -> None:
    page = _render(attributions, insights)
    assert "<script" not in page
    assert "onerror=alert(2)>" not in page.replace("&gt;", "")

    class Reader(HTMLParser):
        images = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                self.images += 1
                assert (dict(attrs)["src"] or "").startswith("data:image/png")

    reader = Reader()
    reader.feed(page)
    assert reader.images == 2 * 2 + 3 + 1 + 2


def test_the_zones_are_told_in_words_too() -> None:
    view = build_concept_section(_build_concept()).view
    assert isinstance(view, ConceptView)
    assert "outside the lungs 8% on 64% of the film" in view.panels[0].words
    assert view.panels[0].radiology.startswith("Radiology")
    assert view.panels[1].words.startswith("No film that the network calls")
    assert view.panels[1].radiology == ""


def test_the_drawing_of_the_docs_is_the_drawing_of_the_report() -> None:
    file = Path(__file__).parents[3] / "docs" / "images" / "lung-zones.svg"
    assert file.read_text(encoding="utf-8") == draw_zones_svg(colour="#1b2430", paper="#ffffff")


def test_the_drawing_names_both_sides_as_the_patients() -> None:
    drawing = draw_zones_svg()
    assert drawing.index("patient's RIGHT lung") < drawing.index("patient's LEFT lung")
    assert drawing.count("<text") == 12 * 2 + 8
