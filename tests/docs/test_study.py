"""The study: what its page shows is there, says what it rests on, and is made by its script."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from cxresnet.cli.app import run_command_line

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "docs" / "study"
SVG = "{http://www.w3.org/2000/svg}"


def _read_figures(folder: Path) -> list[dict[str, Any]]:
    figures = json.loads((folder / "figures.json").read_text("utf-8"))["figures"]
    assert isinstance(figures, list)
    return figures


def _list_shown(folder: Path) -> set[str]:
    return set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (folder / "index.md").read_text("utf-8")))


def test_the_page_names_only_files_that_are_there_and_shows_each_figure() -> None:
    text = (STUDY / "index.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    assert not [name for name in links if not (STUDY / name).exists()]
    files = {name for one in _read_figures(STUDY) for name in one["files"]}
    assert _list_shown(STUDY) == files
    written = {path.name for path in STUDY.iterdir()}
    assert written == files | {"index.md", "figures.json", "numbers.csv"}


def test_every_figure_says_what_it_rests_on_in_its_record_and_on_the_page() -> None:
    text = (STUDY / "index.md").read_text("utf-8")
    figures = _read_figures(STUDY)
    assert len(figures) == 12
    for place, one in enumerate(figures, start=1):
        (caption,) = re.findall(rf"^\*\*Figure {place}\.\*\* .*$", text, re.MULTILINE)
        for key in ("command", "n", "interval", "seed", "date", "machine"):
            assert one[key], f"{one['name']} has no {key}"
            assert one[key] in caption, f"{one['name']}: {key} is not on the page"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["date"]), one["name"]


def test_the_drawings_keep_text_as_text_and_load_nothing() -> None:
    drawings = sorted(STUDY.glob("*.svg"))
    assert drawings
    for path in drawings:
        text = path.read_text("utf-8")
        root = ET.fromstring(text)  # noqa: S314  our own file
        assert len(list(root.iter(f"{SVG}text"))) > 3, path.name
        assert not re.search(r"""(href|src)=["'](?!#)|url\((?!#)|@import|<script""", text), (
            path.name
        )
        assert "var(--series" not in text, f"{path.name} has a colour that only the report knows"


def test_the_pictures_of_the_study_are_drawings_alone() -> None:
    """A picture of a person would be a PNG; only phantoms and drawn lungs may be one."""
    names = {path.stem for path in STUDY.glob("*.png")}
    assert names == {"phantoms", "zones-1", "zones-2", "zones-3"}
    assert not [*STUDY.glob("*.jp*g"), *STUDY.glob("*.npz")]
    assert not [path for path in STUDY.glob("*.svg") if "data:image" in path.read_text("utf-8")]


@pytest.mark.parametrize(
    ("sources", "masks", "refused"),
    [
        (["phantom-a", "phantom-b"], True, False),
        (["phantom-a", "nih"], True, True),
        (["phantom-a"], False, True),
    ],
)
def test_images_that_we_did_not_draw_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sources: list[str],
    masks: bool,
    refused: bool,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from paper.phantoms import require_phantoms

    if masks:
        (tmp_path / "lesion_masks.npy").touch()
    dataset = SimpleNamespace(
        path=tmp_path,
        record=SimpleNamespace(source="phantoms"),
        manifest=pd.DataFrame({"source": sources}),
    )
    run: Any = SimpleNamespace(name="demo", dataset=dataset)
    if not refused:
        require_phantoms(run)
        return
    with pytest.raises(SystemExit, match="must not be shown"):
        require_phantoms(run)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("chosen on 3943 images of sources", "chosen on 3,943 images of sources"),
        ("AUROC 0.9712 (n = 5202): as well", "AUROC 0.9712 (n = 5,202): as well"),
        ("1234567 values, of which 5202.", "1,234,567 values, of which 5,202."),
        ("999 images, 3,943 images, 1234.5", "999 images, 3,943 images, 1234.5"),
        ("2026-11-28, covid19-2020, run_1234", "2026-11-28, covid19-2020, run_1234"),
    ],
)
def test_a_number_in_a_sentence_has_its_comma_and_a_date_or_name_has_none(
    monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from paper.document import group_thousands

    assert group_thousands(text) == shown


def _write_study(run: Path, phantoms: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = [str(run), "--phantoms", str(phantoms), "--out", str(out)]
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "study"), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_script_writes_a_study_of_any_run(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "study"
    phantoms = "phantoms:images_per_class=30"
    assert run_command_line(["run", phantoms, "--out", str(run), "--config", "smoke"]) == 0
    done = _write_study(run, run, out)
    assert done.returncode == 0, done.stderr
    figures = _read_figures(out)
    names = [one["name"] for one in figures]
    assert names[:3] == ["exclusion-flow", "architecture", "training-code"]
    assert {"history", "confusion", "roc", "calibration", "decision", "phantoms"} <= set(names)
    assert not {"left-out-sources", "pairs"} & set(names)  # not run; of other sources
    assert _list_shown(out) == {name for one in figures for name in one["files"]}
    text = (out / "index.md").read_text("utf-8")
    assert "nothing here shows how it performs at another hospital" in text
    assert "90 images" in text
