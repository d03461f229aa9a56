from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.core.run_folder import RunFolder


def _refuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must be refused as the user's mistake; returns what it says."""
    assert run_command_line(["audit", *words]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give the folder of a run, for example 'cxresnet audit runs/mine'"),
        (["run", "--out", "here"], "For another model give --model, --dataset and --out."),
        (["--model", "a:b"], "--model needs --dataset and --out, and no RUN."),
        (["run", "--model", "a:b", "--dataset", "d", "--out", "o"], "and no RUN."),
        (["nowhere"], "'nowhere' is not a run: it has no run.json."),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_a_way_out(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _refuse(capsys, *words)


def test_an_unknown_question_is_refused_with_the_list(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refuse(capsys, str(run.path), "--only", "leakage,luck")
    assert "The audit has no question 'luck'. It has: 1 confounding, 2 leakage" in said


def test_a_run_that_is_not_evaluated_is_refused(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not evaluated yet; call 'cxresnet evaluate" in _refuse(capsys, str(run.path))
    assert not (run.path / "audit").exists()


def test_nothing_is_left_behind_by_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _refuse(capsys, str(tmp_path), "--only", "1")
    assert list(tmp_path.iterdir()) == []
