"""The notebooks of the tutorials run from the first cell to the last, with tiny settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"

TINY = {
    "first-report": "IMAGES_PER_CLASS = 15\nSIDE_PX = 32\nEPOCHS = 1\nSANITY_IMAGES = 4\n",
    "shortcuts-lesson": (
        "IMAGES_PER_CLASS = 15\nEXTERNAL_IMAGES_PER_CLASS = 3\nSIDE_PX = 32\nEPOCHS = 1\n"
        "STRENGTHS = (1,)\nTRIALS = 1\n"
    ),
    "audit-a-model": (
        'IMAGES_PER_CLASS = 15\nSIDE_PX = 32\nSTEPS = 5\nQUESTIONS = "confounding,external"\n'
    ),
}
"""What stands in the place of each notebook's cell of parameters."""


def _read_cells(name: str) -> list[dict[str, Any]]:
    text = (TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8")
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return cells


def _read_code(name: str) -> list[str]:
    """Read the code cells; the one that is tagged `parameters` gets the tiny settings."""
    return [
        TINY[name] if "parameters" in cell["metadata"].get("tags", ()) else "".join(cell["source"])
        for cell in _read_cells(name)
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.ipynb")))
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    code = [cell for cell in _read_cells(name) if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("name", sorted(TINY))
def test_the_tiny_settings_set_what_the_notebook_sets(name: str) -> None:
    (parameters,) = (
        "".join(cell["source"])
        for cell in _read_cells(name)
        if "parameters" in cell["metadata"].get("tags", ())
    )
    assert _list_names(parameters) == _list_names(TINY[name])


def _list_names(source: str) -> list[str]:
    return [line.partition(" = ")[0] for line in source.strip().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("name", sorted(TINY))
def test_a_notebook_runs_from_the_first_cell_to_the_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "notebook"}
    for number, source in enumerate(_read_code(name), start=1):
        exec(compile(source, f"{name}.ipynb, code cell {number}", "exec"), namespace)  # noqa: S102
    results = ("metrics.json", "scorecard.json")
    assert any(path.name in results for path in tmp_path.rglob("*.json"))
