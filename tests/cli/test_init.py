from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.core.config import read_config


@pytest.fixture
def chest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("Covid-19/a.png", "normal/b.png", "normal/c.jpg"):
        path = tmp_path / "chest" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "chest"


@pytest.mark.slow
def test_a_config_is_written_that_is_read_again(
    chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["init", "chest", "--out", "mine.toml"]) == 0
    said = capsys.readouterr().out
    assert "Classes: normal 2, covid-19 1 (3 images)" in said
    assert "Files: png 2, jpg 1" in said
    assert "Few images" in said
    assert said.endswith("Run it with:\n  cxresnet run chest --out runs/mine --config mine.toml\n")
    assert read_config(Path("mine.toml")) == read_config(Path("small")).model_copy(
        update={"evaluate": read_config().evaluate}
    )
    text = Path("mine.toml").read_text(encoding="utf-8")
    assert "# Classes: normal 2, covid-19 1 (3 images)" in text
    assert "# Share of the groups for validation. Allowed: a number" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_nothing_is_overwritten_without_force(
    chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cxresnet.toml").write_text("# mine\n")
    assert run_command_line(["init", "chest"]) == 2
    assert "exists already" in " ".join(capsys.readouterr().err.split())
    assert Path("cxresnet.toml").read_text() == "# mine\n"
    assert run_command_line(["init", "chest", "--force"]) == 0
    assert "[data]" in Path("cxresnet.toml").read_text()


def test_folders_without_a_class_are_prepared_as_comments_that_only_need_a_name(
    chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Nromal", "norml", "si\nck"):
        (chest / name).mkdir()
        (chest / name / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_command_line(["init", "chest"]) == 0
    captured = capsys.readouterr()
    assert "Name the classes under [source.classes]" in captured.out
    assert "No class claims" in captured.err
    text = Path("cxresnet.toml").read_text(encoding="utf-8")
    assert read_config(Path("cxresnet.toml")).source.classes == {}
    uncommented = "\n".join(
        line.removeprefix("# ") if re.match(r'# (\[source|"[^"]+" = )', line) else line
        for line in text.splitlines()
    )
    classes = tomllib.loads(uncommented)["source"]["classes"]
    assert sorted(classes.pop("normal")) == ["Nromal", "norml"]
    assert list(classes.values()) == [["si\nck"]]


@pytest.mark.slow
def test_what_init_leaves_open_is_refused_until_it_is_filled_in(
    chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (chest / "TB").mkdir()
    (chest / "TB" / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run_command_line(["init", "chest", "--out", "mine.toml"]) == 0
    assert "Patients: not counted until every folder has a class" in capsys.readouterr().out
    text = Path("mine.toml").read_text(encoding="utf-8")
    uncommented = text.replace("# [source.classes]", "[source.classes]").replace(
        '# "CLASS', '"CLASS'
    )
    Path("mine.toml").write_text(uncommented, encoding="utf-8")
    for command in ("prepare", "run"):
        assert run_command_line([command, "chest", "--out", "made", "--config", "mine.toml"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "'TB' has no class yet: 'CLASS-1' only stands in its place" in said
        assert "source.classes" in said


@pytest.mark.slow
def test_the_command_at_the_end_is_one_line_for_a_shell(
    chest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chest.rename(chest.with_name("my chest"))
    assert run_command_line(["init", "my chest"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(last)[2] == "my chest"
