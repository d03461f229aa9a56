"""The page loads nothing, runs nothing, and believes no name."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from cxresnet import DISCLAIMER
from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.explain.record import Attributions
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.report.artifacts import DatasetArtifacts, RunArtifacts
from cxresnet.report.registry import list_sections
from cxresnet.report.report import render_report

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}$\\frac$"
VOID = {"meta", "img", "br", "input", "hr", "link", "use", "path"}


class Reader(HTMLParser):
    """Collects the elements of a page, and those that were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


Beside = tuple[SelectiveResult, LeaveSourcesOut, ExternalTest]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The page, once it was rendered: that takes a second, and no test changes it."""
    return {}


@pytest.fixture
def html(
    *,
    pages: dict[str, str],
    dataset_artifacts: DatasetArtifacts,
    history: pd.DataFrame,
    evaluation: Evaluation,
    attributions: Attributions,
    sanity_card: SanityCard,
    checkpoint_record: CheckpointRecord,
    beside: Beside,
) -> str:
    artifacts = RunArtifacts(
        name=HOSTILE,
        dataset_artifacts=dataset_artifacts,
        record=checkpoint_record,
        history=history,
        config={"train": {"seed": 0, "name": HOSTILE, HOSTILE: HOSTILE}},
        environment={"processor": HOSTILE},
        evaluation=evaluation,
        selective=beside[0],
        left_out=beside[1],
        externals=(beside[2],),
        attributions=attributions,
        sanity=sanity_card,
    )
    if not pages:
        pages["whole"] = render_report(artifacts)
    return pages["whole"]


@pytest.fixture
def reader(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.mark.slow
def test_hostile_names_are_text_and_nothing_else(html: str, reader: Reader) -> None:
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "input", "link", "base"}
    for _, attributes in reader.elements:
        assert not any(name.startswith("on") for name in attributes)
    assert "<script>alert(1)</script>" in "".join(reader.text)
    assert "49" not in re.findall(r"'(\d+)\$", html)


def test_every_picture_is_in_the_page_and_has_words(reader: Reader) -> None:
    pictures = reader.find("img")
    assert pictures
    for attributes in pictures:
        assert str(attributes["src"]).startswith("data:image/png;base64,")
        assert attributes["alt"]
    for attributes in reader.find("div"):
        if attributes.get("role") == "img":
            assert attributes["aria-label"]


def test_nothing_points_out_of_the_page(html: str, reader: Reader) -> None:
    ids = {attributes.get("id") for _, attributes in reader.elements}
    for attributes in reader.find("a"):
        assert str(attributes["href"]).removeprefix("#") in ids
    assert not re.findall(r"(?:https?:)?//[a-z]", re.sub(r"base64,[\w+/=]+", "", html))
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)


def test_the_policy_forbids_scripts_and_addresses(reader: Reader) -> None:
    (policy,) = (
        attributes["content"]
        for attributes in reader.find("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


def test_the_disclaimer_stands_first_and_last(reader: Reader) -> None:
    text = "".join(reader.text)
    body = text[text.index(DISCLAIMER) :]
    assert body.count(DISCLAIMER) >= 3
    assert body.index(DISCLAIMER) == 0


def test_every_element_is_closed_and_every_id_is_one_of_a_kind(reader: Reader) -> None:
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_heading_cell_says_what_it_heads(reader: Reader) -> None:
    cells = reader.find("th")
    assert cells
    assert all(attributes.get("scope") in {"row", "col"} for attributes in cells)


def test_the_warnings_stand_before_the_numbers(html: str) -> None:
    assert html.index('class="notice red"') < html.index('class="cards"')


def test_what_is_too_good_to_be_true_stands_before_everything_else(html: str) -> None:
    assert html.index("Too good to be true") < html.index('class="notice red"')
    assert "Look: &#34;&gt;&lt;script&gt;" in html


def test_without_text_summaries_the_maps_say_how_an_image_is_read(html: str) -> None:
    assert html.count("A chest X-ray is a projection image") == 1


def test_no_share_or_score_stands_without_its_interval(html: str) -> None:
    cards = html[html.index('class="cards"') : html.index('class="key"')]
    assert cards.count("1\u202f234 images, 17 patients") == 4
    assert cards.count("70.0–90.0") + cards.count("0.700–0.900") >= 4


def test_a_run_of_which_nothing_is_done_says_what_is_missing() -> None:
    html = render_report(RunArtifacts(name="new"))
    # The first screen and every section that a run always has, except for how to reproduce it.
    always = [spec for spec in list_sections() if spec.missing]
    assert html.count('class="missing"') == 1 + len(always) == 12
    assert DISCLAIMER in html
