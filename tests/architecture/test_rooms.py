"""The rule of the rooms holds, and would be noticed if it did not."""

from __future__ import annotations

import ast
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "cxresnet"
LINT = Path(sys.executable).with_name("lint-imports")


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-cache", "--config", str(root / "pyproject.toml")]
    environment = {"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "src" / "cxresnet")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_contract_is_kept() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_a_planted_look_to_the_right_is_refused(copy: Path) -> None:
    breach = copy / "src" / "cxresnet" / "core" / "seeding.py"
    breach.write_text(breach.read_text() + "\nimport cxresnet.data.manifest\n")
    result = _lint(copy)
    assert result.returncode != 0
    assert "cxresnet.core is not allowed to import cxresnet.data" in result.stdout


@pytest.mark.slow
def test_a_planted_room_that_is_not_on_the_plan_is_refused(copy: Path) -> None:
    (copy / "src" / "cxresnet" / "utils").mkdir()
    (copy / "src" / "cxresnet" / "utils" / "__init__.py").write_text("")
    result = _lint(copy)
    assert result.returncode != 0
    assert "utils" in result.stdout + result.stderr


_ONLY_ROOM = {
    "lightning": "train",
    "captum": "explain",
    "jinja2": "report",
    "matplotlib": "report",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "pynetdicom": "serve",
    "highdicom": "serve",
    "ray": "api",
}


@functools.cache
def _find_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.slow
def test_a_library_is_imported_only_in_its_room() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0]
        for library, only in _ONLY_ROOM.items():
            if library in _find_imports(path):
                assert room == only, f"{library} belongs to {only}/, not to {path}"


def test_the_room_of_the_data_knows_no_networks() -> None:
    for path in (SOURCE / "data").rglob("*.py"):
        assert "torch" not in _find_imports(path), path


def _run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.mark.slow
def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = "{'torch', 'lightning', 'captum', 'matplotlib', 'sklearn', 'pandas'}"
    code = f"import sys, cxresnet.cli.app; print(sorted({heavy} & set(sys.modules)))"
    assert _run_python(code) == "[]"


@pytest.mark.slow
def test_predict_does_not_import_the_training_engine() -> None:
    heavy = "{'lightning', 'torchmetrics', 'captum', 'matplotlib'}"
    code = f"import sys, cxresnet.predict; print(sorted({heavy} & set(sys.modules)))"
    assert _run_python(code) == "[]"


@pytest.mark.slow
def test_nothing_is_printed_or_seeded_at_import() -> None:
    code = (
        "import random; random.seed(1); before = random.getstate();"
        "import cxresnet.core.config, cxresnet.data.sources.open, cxresnet.data.prepare.prepare;"
        "assert random.getstate() == before"
    )
    assert _run_python(code) == ""
