"""The shape of the source stays within its limits: `scripts/measure_house` prints the figures."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

HOUSE = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "measure_house"))


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    measured: dict[str, Any] = HOUSE["measure"]()
    return measured


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "functions over 45 lines",
        "files over 450 lines",
        "__all__ outside of packages",
        "import circles",
    ],
)
def test_nothing_lies_outside_of_a_limit(name: str, figures: dict[str, Any]) -> None:
    assert figures[name] == []


def test_functions_are_short_and_modules_are_used_more_than_once(figures: dict[str, Any]) -> None:
    assert figures["median lines of a function"] <= 8
    # A fifth: most of them are the parts of one algorithm, in files that can be read at one go.
    assert len(figures["modules with one importer"]) <= 0.22 * figures["files"]


def test_a_circle_is_found_and_only_it() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert HOUSE["find_circles"](graph) == [["b", "c"]]


def test_the_lines_of_a_function_are_counted_without_its_docstring() -> None:
    import ast

    tree = ast.parse(
        'def short():\n    """What it does.\n\n    More of it.\n    """\n    return 1\n'
    )
    assert list(HOUSE["measure_functions"]({"m": tree}).values()) == [2]
