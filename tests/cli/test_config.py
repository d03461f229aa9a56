from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.cli.completion import complete_config, complete_setting
from cxresnet.core.config import Config, list_named_configs, read_config


def test_the_list_names_every_ready_config_within_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["config", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for one in list_named_configs():
        assert f"{one.name} ({one.time})" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_a_config_is_shown_as_it_stands_or_with_every_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["-q", "config", "show", "small"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# The main job")
    assert tomllib.loads(shown)["train"] == {"epochs": 60, "mixup": 0.4, "patience_epochs": 25}
    assert run_command_line(["-q", "config", "show", "small", "--resolved"]) == 0
    resolved = tomllib.loads(capsys.readouterr().out)
    assert Config.model_validate(resolved) == read_config(Path("small"))
    assert resolved["train"]["batch_size"] == 32


@pytest.mark.slow
def test_a_key_is_explained_with_default_range_and_effect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command_line(["config", "explain", "train.mixup"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "[train] How the network is trained. train.mixup Blend pairs of images" in shown
    assert "Default: 0.2. Allowed: a number, at least 0 and at most 10." in shown
    assert run_command_line(["config", "explain"]) == 0
    listed = capsys.readouterr().out
    assert "[train.augment]" in listed
    assert "  explain.noise_sd\n" in listed


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["config"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Usage: cxresnet config")
    assert "See '" not in shown


def test_a_mistake_names_the_help_of_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["config", "show"]) == 2
    assert "See 'cxresnet config show --help'." in " ".join(capsys.readouterr().err.split())


def test_names_files_and_keys_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small-images").mkdir()
    (tmp_path / "smaller.toml").touch()
    (tmp_path / "small.csv").touch()
    assert list(complete_config("sma")) == ["small", "small-images/", "smaller.toml"]
    assert list(complete_setting("train.ep")) == ["train.epochs="]
