from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line


@pytest.mark.slow
def test_a_preset_is_shown_as_a_table_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "nano.svg"
    assert run_command_line(["model", "nano", "--side", "64", "--out", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "nano, 64 px" in shown
    assert "multiply-adds" in shown
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_without_a_name_all_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["model"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"nano", "small", "base", "convnet", "plain-resnet", "resnet18"} <= set(names)


@pytest.mark.slow
def test_an_option_of_the_network_changes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "a.svg")
    shown = []
    for words in ([], ["--set", "model.squeeze_excite=false"]):
        assert run_command_line(["model", "nano", "--out", out, *words]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] != shown[1]


@pytest.mark.slow
def test_the_table_of_the_largest_network_fits_eighty_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["model", "base", "--out", str(tmp_path / "a.svg")]) == 0

    lines = capsys.readouterr().out.splitlines()

    assert not any("…" in line for line in lines)
    assert sum("stage4.block2" in line for line in lines) == 1
