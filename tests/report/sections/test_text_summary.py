"""Text summaries are shown as recorded, and names that people give are text."""

from __future__ import annotations

import base64
import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.explain.lungs import OUTSIDE, ZONE_NAMES
from cxresnet.explain.neighbours import ImageNeighbours, Neighbour
from cxresnet.explain.record import Attributions
from cxresnet.explain.summary import ExplanationSummary, ExplanationSummaryIndex
from cxresnet.explain.text_summary import ImageTextSummary
from cxresnet.explain.zone_means import ClassZoneMeans, ZoneMean, ZoneMeans
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.figures import draw_zones_svg
from cxresnet.report.page import render_page
from cxresnet.report.registry import build_section
from cxresnet.report.sections.text_summary import build_text_summary_view, build_zone_means_view
from cxresnet.report.summary import choose_picture

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}$\\frac$"
SENTENCE = "62% of what argues for covid-19 to the network lies in the lower outer zones."


def _build_zone_means() -> ZoneMeans:
    zones = tuple(
        ZoneMean(
            zone=name,
            share=Estimate(value=1 / 13, low=0.05, high=0.2, n=5, groups=4),
            area=0.64 if name == OUTSIDE else 0.03,
        )
        for name in ZONE_NAMES
    )
    one = ClassZoneMeans(
        class_name="covid-19",
        images=5,
        patients=4,
        without_lungs=1,
        found_lungs=2,
        without_evidence=0,
        zones=zones,
    )
    empty = one.model_copy(update={"class_name": HOSTILE, "images": 0, "zones": ()})
    return ZoneMeans(method="Occlusion", classes=(one, empty))


@pytest.fixture
def explanation_summary(attributions: Attributions) -> ExplanationSummary:
    text_summaries = tuple(
        ImageTextSummary(
            image_id=image.image_id,
            class_name=image.explained_class,
            probability=0.75,
            method="occlusion",
            lung_source="lung finder",
            sentences=(SENTENCE, HOSTILE),
        )
        for image in attributions.index.images
    )
    closest = Neighbour(image_id=HOSTILE, class_name=HOSTILE, source=HOSTILE, similarity=0.5)
    near = closest.model_copy(update={"class_name": "normal", "similarity": 0.95})
    neighbours = tuple(
        ImageNeighbours(image_id=HOSTILE, similarity_threshold=0.9, compared=9, neighbours=found)
        for found in ((near, closest), (closest,))
    )
    images = np.zeros((2, 2, 16, 16), np.uint8)
    images[0, 1] = 200
    return ExplanationSummary(
        ExplanationSummaryIndex(
            text_summaries=text_summaries, neighbours=neighbours, zone_means=_build_zone_means()
        ),
        images,
    )


def _render(
    attributions: Attributions, explanation_summary: ExplanationSummary, *beside: str
) -> str:
    artifacts = RunArtifacts(
        name="t", attributions=attributions, explanation_summary=explanation_summary
    )
    anchors = ("text_summary", "zone_means", *beside)
    return render_page(
        "page.html.j2",
        title="t",
        lead="l",
        sections=[build_section(anchor, artifacts) for anchor in anchors],
    )


def test_the_contour_of_the_lungs_is_white_on_image_and_map(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    image = build_text_summary_view(attributions, explanation_summary).images[0]
    for uri in (image.image_uri, image.map_uri):
        content = base64.b64decode(uri.partition(",")[2])
        picture = np.asarray(Image.open(io.BytesIO(content)))
        assert (picture[4, 4:12] == 255).all()


@pytest.mark.slow
def test_sentences_and_nearest_neighbours_stand_on_the_page(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    page = _render(attributions, explanation_summary)
    assert page.count(SENTENCE) == 2
    assert "Nearest neighbours among the training images" in page
    assert "No close match" in page
    assert "similarity 0.950" in page
    assert "contour from the lung segmentation network" in page


@pytest.mark.slow
def test_how_an_image_is_read_is_told_once(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    page = _render(attributions, explanation_summary, "explanation")
    assert page.count("A chest X-ray is a projection image") == 1
    assert page.count("iaphragm (two smooth domes") == 1
    assert 'href="#text_summary">text summaries of images' in page


def test_nearest_neighbours_are_shown_in_their_order(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    first = build_text_summary_view(attributions, explanation_summary).images[0]
    assert [one.neighbour.similarity for one in first.closest] == [0.95, 0.5]
    assert first.closest[0].uri != first.closest[1].uri


@pytest.mark.slow
def test_hostile_names_are_text(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    page = _render(attributions, explanation_summary)
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


def _fail(attributions: Attributions, *names: str) -> Attributions:
    """Add Grad-CAM behind occlusion, and let the named methods fail their sanity checks."""
    (occlusion,) = attributions.index.methods
    methods = tuple(
        occlusion.model_copy(update={"name": name, "title": title, "failed_sanity": name in names})
        for name, title in (("occlusion", "Occlusion"), ("grad_cam", "Grad-CAM"))
    )
    # All of its evidence lies in the image's lower half.
    other = np.zeros_like(attributions.maps["occlusion"])
    other[:, other.shape[1] // 2 :] = 0.3
    return dataclasses.replace(
        attributions,
        index=attributions.index.model_copy(update={"methods": methods}),
        maps={**attributions.maps, "grad_cam": other},
    )


def test_sentences_and_map_are_of_a_method_that_passed(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    page = _render(_fail(attributions, "occlusion"), explanation_summary)
    assert SENTENCE not in page, "they were built on Occlusion, which failed since"
    assert "Map, sentences and zones are those of Grad-CAM." in page
    assert "The zones were measured with Occlusion, which is" in page
    assert "Mean share of the evidence" not in page


def test_where_no_method_passed_there_is_a_reason_and_neither_sentence_nor_map(
    attributions: Attributions, explanation_summary: ExplanationSummary
) -> None:
    failed = _fail(attributions, "occlusion", "grad_cam")
    page = _render(failed, explanation_summary)
    assert page.count("no attribution method passed its sanity checks") == 1
    assert SENTENCE not in page
    assert all(
        image.map_uri == "" for image in build_text_summary_view(failed, explanation_summary).images
    )
    assert choose_picture(failed) is None


@pytest.mark.slow
def test_the_zones_are_told_in_words_too() -> None:
    view = build_zone_means_view(_build_zone_means())
    assert "outside the lungs 8% on 64% of the image" in view.panels[0].alt_text
    assert view.panels[0].radiology.startswith("Radiology")
    assert view.panels[1].alt_text.startswith("No image predicted as")
    assert view.panels[1].radiology == ""


def test_the_drawing_of_the_docs_is_the_drawing_of_the_report() -> None:
    file = Path(__file__).parents[3] / "docs" / "images" / "lung-zones.svg"
    assert file.read_text(encoding="utf-8") == draw_zones_svg(colour="#1b2430", paper="#ffffff")


def test_the_drawing_names_both_sides_as_the_patients() -> None:
    drawing = draw_zones_svg()
    assert drawing.index("patient's RIGHT lung") < drawing.index("patient's LEFT lung")
    assert drawing.count("<text") == 12 * 2 + 8
