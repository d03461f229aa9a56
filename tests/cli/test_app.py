from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxresnet import DISCLAIMER, __version__
from cxresnet.cli import app as app_module
from cxresnet.cli.app import run_command_line
from cxresnet.cli.commands import command, find_commands

COMMANDS = (
    "run",
    "init",
    "prepare",
    "verify",
    "train",
    "evaluate",
    "explain",
    "report",
    "show",
    "predict",
    "compare",
    "model",
)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxresnet", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_version_is_told() -> None:
    result = _run("--version")
    assert (result.returncode, result.stdout.strip()) == (0, f"cxresnet {__version__}")


@pytest.mark.slow
def test_help_tells_every_command_and_what_it_must_not_be_used_for() -> None:
    result = _run("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in result.stdout
    assert DISCLAIMER.rstrip(".") in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert "--help" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "nowhere", "--out", "x"], "There is no 'nowhere'"),
        (["prepare", "phantoms:images=3", "--out", "x"], "images"),
        (["train", "nowhere", "--out", "{tmp}/run"], "nowhere"),
        (["evaluate", "nowhere"], "'nowhere' is not a run"),
        (["explain", "nowhere"], "There is no 'nowhere'"),
        (["report", "nowhere"], "'nowhere' is not a run"),
        (["verify", "nowhere"], "nowhere"),
        (["model", "nanoo"], "Did you mean 'nano'?"),
        (["run", "phantoms", "--out", "x", "--set", "train.epocs=3"], "Did you mean 'epochs'?"),
        (["run", "phantoms", "--out", "x", "--config", "none.toml"], "no config 'none.toml'"),
        (["run", "phantoms", "--out", "x", "--classes", "covid"], "not of the form class=folder"),
        (["prepare", "phantoms"], "--out"),
        (["prepaer", "phantoms"], "prepaer"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr_and_exit_code_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line([word.format(tmp=tmp_path) for word in words]) == 2
    captured = capfd.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err + captured.out
    assert not (tmp_path / "x").exists()


def test_commands_are_found_in_the_order_of_the_help() -> None:
    found = find_commands()
    assert {command.name for command in found} >= set(COMMANDS)
    assert [command.name for command in found][:4] == ["run", "init", "prepare", "verify"]
    assert [command.order for command in found] == sorted(command.order for command in found)


def test_two_commands_of_one_name_are_refused() -> None:
    def train() -> None:
        """Another command of that name."""

    with pytest.raises(ValueError, match="two commands are called 'train'"):
        command(order=1, examples=())(train)
    assert "tests" not in {one.function.__module__ for one in find_commands()}


def test_a_fault_of_ours_shows_no_traceback_and_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(**_options: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(app_module, "app", fail)
    assert run_command_line(["run"]) == 70
    shown = capfd.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert "--verbose" in shown
    assert "Traceback" not in shown


def test_ctrl_c_inside_a_command_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cxresnet.data.dataset.verify.verify_dataset", interrupt)
    assert run_command_line(["verify", str(tmp_path)]) == 130
    assert "Stopped by Ctrl-C" in capfd.readouterr().err


def test_ctrl_c_is_one_sentence_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(**_options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app_module, "app", interrupt)
    assert run_command_line(["run"]) == 130
    assert "--resume" in capfd.readouterr().err


def test_every_command_says_what_it_is_not_unless_quiet(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["model"]) == 0
    assert DISCLAIMER in capfd.readouterr().err
    assert run_command_line(["--quiet", "model"]) == 0
    assert DISCLAIMER not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "run/x"), "'run/x': No such"),
        (MemoryError(), "memory is full"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    message: str,
) -> None:
    def fail(**_options: object) -> int:
        raise error

    monkeypatch.setattr(app_module, "app", fail)
    assert run_command_line(["run"]) == 3
    shown = capfd.readouterr().err
    assert message in shown
    assert "bug" not in shown
    assert "Traceback" not in shown


def test_a_training_that_was_asked_to_stop_ends_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(**_options: object) -> int:
        raise SystemExit(143)

    monkeypatch.setattr(app_module, "app", stop)
    with pytest.raises(SystemExit, match="143"):
        run_command_line(["train"])


def test_only_commands_that_train_outlive_their_output() -> None:
    assert {one.name for one in find_commands() if one.outlives_output} == {"run", "train"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
@pytest.mark.parametrize(
    ("words", "redirection", "code", "message"),
    [
        ("model", ">/dev/full", 3, "could not be written (No space left on device)"),
        ("model", ">&-", 3, "could not be written"),
        ("--help", ">/dev/full", 3, "No space left on device"),
        ("model", "| true", 141, ""),
        ("--help", "| true", 141, ""),
        ("model", "2>&-", 0, ""),
    ],
)
def test_a_lost_output_is_told(words: str, redirection: str, code: int, message: str) -> None:
    wait = "sleep 0.1; " if "|" in redirection else ""
    line = f"{wait}exec 3>&2; {sys.executable} -m cxresnet -q {words} {redirection}"
    if "|" in redirection:
        line = f"set -o pipefail; {line}"
    result = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ
    )
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
