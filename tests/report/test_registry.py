"""A section is found where it is defined, and stands in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.report import registry
from cxresnet.report.artifacts import RunArtifacts
from cxresnet.report.registry import (
    WHOLE,
    build_section,
    build_sections,
    list_sections,
    register_section,
)
from cxresnet.report.section import ReportSection

TEMPLATES = Path(registry.__file__).parent / "templates"


@pytest.fixture(autouse=True)
def specs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test registers is forgotten after it."""
    list_sections()
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))


def test_every_section_has_a_template_of_its_name() -> None:
    sections = {*list_sections("run"), *list_sections("data")}
    assert all((TEMPLATES / f"{spec.anchor}.html.j2").is_file() for spec in sections)


def test_the_pages_have_their_sections_in_order() -> None:
    assert [spec.anchor for spec in list_sections("data")] == [
        "data",
        "statistics",
        "near_duplicates",
    ]
    orders = [spec.order for spec in list_sections("run")]
    assert orders == sorted(set(orders))


def test_a_registered_section_stands_where_its_order_says() -> None:
    @register_section("toy", title="Toy", short_title="Toy", order=15, needs=("name",))
    def build(name: str) -> str:
        return name.upper()

    anchors = [spec.anchor for spec in list_sections()]
    assert anchors[:4] == ["audit", "data", "toy", "architecture"]
    assert build_section("toy", RunArtifacts(name="a")) == ReportSection(
        "toy", "Toy", "Toy", view="A"
    )


def test_artifacts_are_passed_in_order_and_by_dotted_name() -> None:
    @register_section(
        "toy",
        title="Toy",
        short_title="Toy",
        order=15,
        needs=("folder.name",),
        any_of=("damaged", "externals"),
        uses=("history", WHOLE),
        missing="None.",
    )
    def build(*values: object) -> tuple[object, ...]:
        return values

    artifacts = RunArtifacts(name="a", folder=Path("one/two"), externals=("x",))  # type: ignore[arg-type]
    section = build_section("toy", artifacts)
    assert section.view == ("two", (), ("x",), None, artifacts)
    assert section.missing == ""
    without = build_section("toy", RunArtifacts(name="a", folder=Path("one/two")))
    assert (without.view, without.missing) == (None, "None.")
    assert build_section("toy", RunArtifacts(name="a", externals=("x",))).view is None  # type: ignore[arg-type]


def test_a_section_that_says_nothing_while_it_is_missing_is_left_out() -> None:
    anchors = [section.anchor for section in build_sections(RunArtifacts(name="new"))]
    assert "text_summary" not in anchors
    assert "external" in anchors
