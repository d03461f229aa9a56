"""Nothing in the package runs code that came with data: read from the syntax of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "cxresnet"
FILES = sorted(SOURCE.rglob("*.py"))

FORBIDDEN_MODULES = {
    "cPickle",
    "cloudpickle",
    "dill",
    "jsonpickle",
    "joblib",
    "marshal",
    "pickle",
    "pickletools",
    "shelve",
    "torch.package",
}
HARMLESS_IMPORTS = {
    "joblib.Parallel",
    "joblib.delayed",
    "joblib.externals.loky.reusable_executor",
}
"""Send work to processes of our own; what `joblib.load` reads is a file, and may be anybody's."""
FORBIDDEN_CALLS = {
    "__import__",
    "compile",
    "eval",
    "exec",
    "execfile",
    "os.popen",
    "os.system",
    "pandas.read_pickle",
    "pd.read_pickle",
    "torch.hub.load",
    "torch.jit.load",
    "torch.load",
    "torch.save",
    "yaml.full_load",
    "yaml.load",
    "yaml.unsafe_load",
}
FORBIDDEN_METHODS = {
    "extractall",
    "load_from_checkpoint",
    "read_pickle",
    "to_pickle",
    "unsafe_load",
}
FORBIDDEN_TRUE_ARGUMENTS = {"allow_pickle", "shell"}


def _find_breaches(tree: ast.AST) -> Iterator[str]:
    """Name every construct that could run code from a file, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from _find_modules([alias.name for alias in node.names], node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
            names = [base, *names] if set(names) - HARMLESS_IMPORTS else []
            yield from _find_modules(names, node.lineno)
        elif isinstance(node, ast.Call):
            yield from _find_calls(node)


def _find_modules(names: list[str], line: int) -> Iterator[str]:
    for name in names:
        forbidden = {*FORBIDDEN_MODULES, "torch.load", "torch.save", "yaml.load"}
        if name in forbidden or name.split(".")[0] in FORBIDDEN_MODULES:
            yield f"line {line}: import {name}"


def _find_calls(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in FORBIDDEN_CALLS or name.rsplit(".", 1)[-1] in FORBIDDEN_METHODS:
        yield f"line {call.lineno}: {name}()"
    for keyword in call.keywords:
        value = keyword.value
        harmless = isinstance(value, ast.Constant) and value.value is False
        if keyword.arg in FORBIDDEN_TRUE_ARGUMENTS and not harmless:
            yield f"line {call.lineno}: {name}({keyword.arg}=…)"


def test_there_are_files_to_look_at() -> None:
    assert {"checkpoint.py", "decode.py", "image.py"} & {path.name for path in FILES}
    assert len(FILES) > 20


@pytest.mark.slow
def test_no_file_can_run_code_that_came_with_data() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    found = {str(path.relative_to(SOURCE)): [*_find_breaches(trees[path])] for path in FILES}
    assert {name: breaches for name, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "from torch import load",
        "import joblib",
        "import joblib.numpy_pickle",
        "from joblib import Parallel, load",
        "import dill",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "torch.save(state, path)",
        "eval(text)",
        "exec(text)",
        "yaml.load(text, Loader=loader)",
        "archive.extractall(folder)",
        "tarfile.open(path).extractall(folder, filter='data')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "pd.read_pickle(path)",
        "frame.to_pickle(path)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "Module.load_from_checkpoint(path)",
    ],
)
def test_a_planted_breach_is_found(line: str) -> None:
    assert list(_find_breaches(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "network.eval()",
        "re.compile(pattern)",
        "json.loads(text)",
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "safetensors.torch.load(content)",
        "archive.extract(member)",
        "from joblib import Parallel, delayed",
        "torch.manual_seed(0)",
    ],
)
def test_what_is_harmless_is_left_alone(line: str) -> None:
    assert not list(_find_breaches(ast.parse(line)))
