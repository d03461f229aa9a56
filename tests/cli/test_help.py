"""The help: two examples that work, options in groups, nothing cut off at 80 columns."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main

from cxresnet.cli import completion
from cxresnet.cli.app import app, run_command_line
from cxresnet.cli.commands import Command, find_commands

COMMANDS = find_commands()
GROUP: Any = typer.main.get_command(app)


def _parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse the words of a command line without running it; returns the command and its options."""
    names, command = ["cxresnet"], GROUP
    while hasattr(command, "commands") and words:
        names.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    return " ".join(names[1:]), command.make_context(" ".join(names), words).params


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_every_command_ends_with_two_examples_that_are_understood(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line([*command.name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert len(command.examples) == 2
    for example in command.examples:
        assert f"\n    cxresnet {example}\n" in f"{shown}\n"
        words = shlex.split(example)
        parsed, _ = _parse(words[1:] if words[0] == "-v" else words)
        assert parsed in {one.name for one in COMMANDS}
    assert any(command.name in example for example in command.examples)
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"[a-z]\.\.\.", shown), "a sentence is cut off"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.name)
def test_every_option_has_a_group_and_says_what_its_value_means(command: Command) -> None:
    from cxresnet.cli.help import _find_group

    parsed: Any = GROUP
    for name in command.name.split():
        parsed = parsed.commands[name]
    for parameter in parsed.params:
        if parameter.param_type_name == "argument":
            assert parameter.metavar, parameter.name
            continue
        assert _find_group(parameter) != "Options", parameter.opts
        takes_value = not parameter.is_flag
        choice = parameter.name == "format_"
        assert parameter.metavar or choice or not takes_value, parameter.opts
        assert parameter.help, parameter.opts


def test_groups_come_in_order_and_defaults_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["prepare", "--help"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(f"\n{name}:") for name in ("Arguments", "Input", "Output", "Advanced")]
    assert places == sorted(places)
    assert "list[" not in shown
    assert run_command_line(["init", "--help"]) == 0
    assert "[default: cxresnet.toml]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["train", "x"], "cxresnet train --help"),
        (["config", "lst"], "cxresnet config --help"),
        (["nothing"], "cxresnet --help"),
        (["model", "--sdie", "3"], "cxresnet model --help"),
    ],
)
def test_a_mistake_names_the_help_that_explains_it(
    words: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(words) == 2
    assert f"See '{names}'." in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("complete", "incomplete", "expected"),
    [
        (completion.complete_class, "co", ["covid-19"]),
        (completion.complete_class_pair, "covid=A,no", ["covid=A,normal="]),
        (completion.complete_methods, "occlusion,grad", ["grad_cam", "gradient_shap"]),
        (completion.complete_preset, "na", ["nano"]),
        (completion.complete_dataset_preset, "no", ["none"]),
    ],
)
def test_names_are_completed(complete: Any, incomplete: str, expected: list[str]) -> None:
    found = list(complete(incomplete))
    assert [one.rpartition(",")[2] if "=" not in one else one for one in found] == expected


def test_the_shell_asks_the_options_for_names() -> None:
    train = GROUP.commands["train"]
    context = train.make_context("train", [], resilient_parsing=True)
    (config,) = [one for one in train.params if one.name == "config"]
    assert [one.value for one in config.shell_complete(context, "sma")][:1] == ["small"]


def test_verbose_says_how_long_it_took(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--verbose", "config", "list"]) == 0
    assert "The command took 0." in capfd.readouterr().err
    assert run_command_line(["config", "list"]) == 0
    assert "took" not in capfd.readouterr().err
