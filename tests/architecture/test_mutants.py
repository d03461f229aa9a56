"""`scripts/mutants` makes the faults that it says, and nothing else."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MUTATE = runpy.run_path(str(ROOT / "scripts" / "mutation" / "mutate.py"))


def _list_mutants(source: str) -> list[str]:
    return [one.apply(source) for one in MUTATE["find_mutations"](source)]


@pytest.mark.parametrize(
    ("source", "mutant"),
    [
        ("a = b < c", "a = (b <= c)"),
        ("a = b == c", "a = (b != c)"),
        ("a = b in c", "a = (b not in c)"),
        ("a = b is None", "a = (b is not None)"),
        ("a = b and c", "a = (b or c)"),
        ("a = b + c", "a = (b - c)"),
        ("a = 7", "a = 8"),
        ("a = 1", "a = 0"),
        ("a = True", "a = False"),
        ("a = min(b)", "a = max(b)"),
        ("a = not b", "a = (b)"),
        ("a = b if c else d", "a = b if (not (c)) else d"),
        ("a = [b for b in c if d]", "a = [b for b in c if (not (d))]"),
        ("while a:\n    b()", "while (not (a)):\n    b()"),
        ("if a:\n    b()", "if a:\n    pass"),
        ("a.b = c", "pass"),
        ("a += b", "pass"),
        ("def f():\n    raise A('not 1')", "def f():\n    pass"),
        ("def f():\n    return a", "def f():\n    return None"),
    ],
)
def test_each_kind_of_fault_is_made(source: str, mutant: str) -> None:
    assert mutant in _list_mutants(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""A text < of 7 words."""',
        "a: int | None",
        "from a import b",
        "@a(3)\ndef f(b: int | None) -> None: ...",
        "if TYPE_CHECKING:\n    import a",
        "a = f'{b + 1}'",
        "zip(a, b, strict=True).c",
        "def f():\n    return None",
    ],
)
def test_what_is_no_code_that_runs_is_left_alone(source: str) -> None:
    assert not _list_mutants(source)


@pytest.mark.slow
def test_every_mutant_of_a_module_is_python_and_differs() -> None:
    source = (ROOT / "src" / "cxresnet" / "predict" / "decision.py").read_text(encoding="utf-8")
    mutants = _list_mutants(source)

    assert len(mutants) > 40
    assert source not in mutants
    for mutant in mutants:
        ast.parse(mutant)


def test_letters_of_several_bytes_do_not_move_the_place() -> None:
    assert _list_mutants('a = "ä–×"; b = 7') == ['a = "ä–×"; b = 8']


def test_a_mutant_is_named_by_the_lines_that_differ_wherever_they_are() -> None:
    source = "a = 1\nif b < c:\n    d()\n"
    (flip,) = (one for one in MUTATE["find_mutations"](source) if "flipped" in one.kind)
    assert MUTATE["show_difference"](source, flip) == ("if b < c:", "if (b <= c):")


def test_those_examined_are_named_with_a_reason() -> None:
    path = ROOT / "scripts" / "mutation" / "examined.json"
    examined: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name, reason in examined.items():
        module, _, change = name.partition(": ")
        assert " → " in change
        assert (ROOT / "src" / module).is_file(), module
        assert len(reason) > 30, name
