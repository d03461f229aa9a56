"""What a command imports: `--help` and a mistake are told at once, and a prediction soon.

Importing torch or pandas takes seconds on a slow machine, so nothing may need them before it is
known that there is something to do. One process runs all commands, one after another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cxresnet.cli.commands import find_commands
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms

_RUN_ALL = """
import contextlib, io, json, sys
from cxresnet.cli.app import run_command_line
answers = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = run_command_line(words)
    answers.append((code, said.getvalue(), sorted(sys.modules)))
print(json.dumps(answers))
"""

_SLOW_TO_IMPORT = {"torch", "pandas", "scipy", "sklearn", "lightning", "captum", "matplotlib"}

_MISTAKES = (
    (["predict", "nowhere"], "There is no 'nowhere'"),
    (["predict", "image.png", "--run", "nowhere"], "'nowhere' is not a run"),
    (["lungs", "nowhere", "--out", "x"], "There is no 'nowhere'"),
    (["explain", "nowhere"], "There is no 'nowhere'"),
    (["explain", "image.png", "--run", "nowhere"], "'nowhere' is not a run"),
    (["run", "nowhere", "--out", "x"], "There is no 'nowhere'"),
    (["run", "phantoms", "--out", "x", "--config", "none.toml"], "no config 'none.toml'"),
    (["run", "phantoms", "--out", "x", "--set", "train.epocs=3"], "Did you mean 'epochs'?"),
    (["prepare", "nowhere", "--out", "x"], "There is no 'nowhere'"),
    (["verify", "nowhere"], "'nowhere' is not a prepared dataset"),
    (["train", "nowhere", "--out", "x"], "'nowhere' is not a prepared dataset"),
    (["evaluate", "nowhere"], "'nowhere' is not a run"),
    (["evaluate", "run", "--data", "nowhere"], "'nowhere' is not a prepared dataset"),
    (["audit", "nowhere"], "'nowhere' is not a run"),
    (["compare", "run", "nowhere"], "'nowhere' is not a run"),
    (["serve", "--run", "nowhere"], "'nowhere' is not a run"),
    (["listen", "--out", "x", "--run", "nowhere"], "'nowhere' is not a run"),
    (["export", "--out", "x", "--run", "nowhere"], "'nowhere' is not a run"),
    (["predict", "image.png", "--backend", "onyx"], "There is no backend 'onyx'"),
    (["report", "nowhere"], "'nowhere' is not a run"),
    (["lint", "nowhere"], "There is no 'nowhere'"),
    (["show", "nowhere"], "'nowhere' is not a run"),
    (["model", "nanoo"], "Did you mean 'nano'?"),
    (["init", "nowhere"], "'nowhere' is not a folder"),
    (["config", "list", "--lnog"], "No such option: --lnog"),
    (["config", "show", "smal"], "Did you mean 'small'?"),
    (["config", "explain", "epochz"], "Did you mean 'train.epochs'?"),
)

_Answer = tuple[int, str, list[str]]


def _run_all(lines: list[list[str]], folder: Path) -> list[_Answer]:
    words = [sys.executable, "-c", _RUN_ALL, json.dumps(lines)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    answers: list[_Answer] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[_Answer]:
    """First those of the help, then those of every mistake, in order."""
    folder = tmp_path_factory.mktemp("start_up")
    (folder / "image.png").touch()
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text('{"format": 1, "dataset": "dataset"}')
    return _run_all([["--help"], ["run", "--help"], *(words for words, _ in _MISTAKES)], folder)


@pytest.mark.slow
def test_the_help_imports_nothing_that_it_does_not_show(answers: list[_Answer]) -> None:
    unused = {"numpy", "PIL", "pygments", "rich.markdown", "rich.progress"} | _SLOW_TO_IMPORT
    (code, _, modules), (code_of_command, _, modules_of_command) = answers[:2]
    assert (code, code_of_command) == (0, 0)
    assert not (unused | {"pydantic"}).intersection(modules)
    # Typer itself reads the options before a command with pydantic.
    assert not unused.intersection(modules_of_command)


def test_a_mistake_is_told_before_anything_slow_is_imported(answers: list[_Answer]) -> None:
    for (words, message), (code, said, modules) in zip(_MISTAKES, answers[2:], strict=True):
        assert (code, message in said) == (2, True), f"{words}: {said}"
        assert not _SLOW_TO_IMPORT.intersection(modules), words


def test_every_command_is_tried_with_a_mistake() -> None:
    tried = [" ".join(words) for words, _ in _MISTAKES]
    for one in find_commands():
        assert any(line.startswith(f"{one.name} ") for line in tried), one.name


@pytest.mark.slow
def test_a_prediction_imports_torch_and_nothing_else_that_is_slow(tmp_path: Path) -> None:
    settings = PhantomSettings(images_per_class=1, side_px=160, seed=99)
    drawn = draw_phantom(plan_phantoms(settings)[0], settings)
    Image.fromarray(drawn.pixels).save(tmp_path / "image.png")
    ((code, said, modules),) = _run_all([["predict", "image.png", "--format=json"]], tmp_path)
    assert code == 0, said
    assert _SLOW_TO_IMPORT.intersection(modules) == {"torch"}
