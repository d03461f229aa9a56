"""What a release needs beside the code: one version, a changelog, licences, cards, templates."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

import cxresnet
from cxresnet.predict.bundled import BUNDLED_RUN

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_stands_everywhere() -> None:
    version = PROJECT["version"]
    assert cxresnet.__version__ == version
    assert f"\nversion: {version}\n" in _read("CITATION.cff")
    assert f"\n## [{version}] - " in _read("CHANGELOG.md")


def test_the_changelog_has_the_headings_of_its_format_newest_first() -> None:
    text = _read("CHANGELOG.md")
    dates = re.findall(r"^## \[[\d.]+\] - (\d{4}-\d\d-\d\d)$", text, flags=re.MULTILINE)
    assert dates == sorted(dates, reverse=True)
    assert "## [Unreleased]" in text
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE)) <= allowed


def test_the_citation_has_what_its_format_demands() -> None:
    keys = dict(re.findall(r"^([a-z-]+):\s*(.*)$", _read("CITATION.cff"), flags=re.MULTILINE))
    assert keys["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "date-released"} <= set(keys)
    assert keys["license"] == PROJECT["license"]


def test_every_direct_dependency_is_listed_with_its_licence() -> None:
    text = _read("docs/reference/dependencies.md")
    listed = dict(re.findall(r"^\| \*\*(\S+)\*\* \| \S+ \| (.+?) \|", text, flags=re.MULTILINE))
    extras = PROJECT["optional-dependencies"]
    names = ("dicom", "fast", "kaggle", "listen", "mlflow", "serve", "tables", "track", "wandb")
    own = {name: extras[name] for name in names}
    for needed in (*PROJECT["dependencies"], *(one for extra in own.values() for one in extra)):
        name = re.split(r"[<>=\[]", needed)[0]
        assert listed.get(name, "not stated") != "not stated", name


@pytest.mark.parametrize(
    "name",
    ["ISSUE_TEMPLATE/bug.md", "ISSUE_TEMPLATE/idea.md", "pull_request_template.md"],
)
def test_templates_are_there_and_warn_of_pictures_of_people(name: str) -> None:
    text = _read(f".github/{name}")
    assert "idea" in name or "X-ray picture of a person" in text


def test_the_hook_before_a_commit_runs_the_gates() -> None:
    assert "entry: scripts/check\n" in _read(".pre-commit-config.yaml")


def test_the_card_for_hugging_face_is_the_model_card_with_its_heading() -> None:
    text = (BUNDLED_RUN.path / "README.md").read_text(encoding="utf-8")
    _, heading, card = text.split("---\n", 2)
    entries = dict(line.split(": ", 1) for line in heading.splitlines())
    assert entries["license"] == '"cc-by-nc-sa-4.0"'
    (model,) = json.loads(entries["model-index"])
    scores = {one["type"]: one for one in model["results"][0]["metrics"]}
    assert scores["balanced_accuracy"]["value"] == pytest.approx(0.607, abs=5e-4)
    assert scores["balanced_accuracy"]["name"] == "Balanced accuracy 0.607 (0.572–0.640)"
    assert card.strip() == (BUNDLED_RUN.path / "MODEL_CARD.md").read_text(encoding="utf-8").strip()


# RSNA's schema is under its own copyright, so that no copy is kept here. What it demands of the
# parts that we fill was read from it (2026-12): required keys, limits of length, and closed lists.


def test_the_card_for_atlas_has_what_its_schema_demands() -> None:
    card = json.loads((BUNDLED_RUN.path / "atlas_model.json").read_text(encoding="utf-8"))
    assert set(card) == {"$schema", "Model"}
    assert card["$schema"] == "https://atlas.rsna.org/schemas/2026-12/model.json"
    model = card["Model"]
    assert {"Name", "Link"} <= set(model) <= {
        "Name", "Summary", "Link", "Indexing", "General metadata", "Model properties", "Imaging",
        "Model performance", "Factors",
    }  # fmt: skip
    assert 4 <= len(model["Name"]) <= 256
    assert re.match(r"[a-z]+:", model["Link"])
    assert len(model["Summary"]) <= 2500
    assert cxresnet.DISCLAIMER in model["Summary"]
    for text in _list_texts(model["Model properties"]):
        assert 2 <= len(text) <= 512
    assert len(model["Model properties"]["Use"]["Other"]) <= 256
    assert "Diagnosis" in model["Model properties"]["Use"]["Excluded"]
    (performance,) = model["Model performance"]
    assert performance["Provenance"] == "Claimed"
    for result in performance["Results"]:
        assert set(result) == {"Index test", "Scalar metric", "Value", "Confidence interval"}
        assert result["Scalar metric"] in {
            "balanced accuracy", "accuracy", "macro-F1", "AUC of each class vs. the rest combined",
        }  # fmt: skip
        interval = result["Confidence interval"]
        assert interval["Lower limit"] <= result["Value"] <= interval["Upper limit"]
        assert interval["Level"] == 0.95


def _list_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [text for part in parts for text in _list_texts(part)]


def test_the_licence_of_a_package_is_found_in_each_place_where_it_may_stand() -> None:
    find = runpy.run_path(str(ROOT / "scripts/dependencies"))["find_licence"]

    def build(text: str) -> Any:
        from email import message_from_string

        return type("Package", (), {"metadata": message_from_string(text)})()

    assert find(build("License-Expression: MIT\nLicense: other\n")) == "MIT"
    assert find(build("Classifier: License :: OSI Approved :: BSD License\n")) == "BSD License"
    assert find(build("License: Apache\n  and more\n")) == "Apache"
    assert find(build("Name: x\n")) == "not stated"
