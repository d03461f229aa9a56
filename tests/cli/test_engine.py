"""`--engine`: what chooses where images are read and decoded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line


@pytest.mark.parametrize("command", ["prepare", "predict"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray-address", "host:6379"], "--ray-address needs '--engine ray'"),
        (["--engine", "ray", "--ray-address", "ray://host"], "Give HOST:PORT"),
        (["--engine", "dask"], "--engine"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    command: str,
    options: list[str],
    message: str,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", _Nothing())
    monkeypatch.setitem(sys.modules, "ray.exceptions", _Nothing())
    source = "phantoms" if command == "prepare" else str(images)
    out = tmp_path / "out"
    assert run_command_line([command, source, "--out", str(out), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


@pytest.mark.parametrize("command", ["prepare", "predict"])
def test_ray_that_is_not_installed_is_told_with_the_way_to_get_it(
    command: str,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    source = "phantoms" if command == "prepare" else str(images)
    words = [command, source, "--out", str(tmp_path / "out"), "--engine", "ray"]
    assert run_command_line(words) == 2
    assert 'pip install "cxresnet[ray]"' in capsys.readouterr().err


class _Nothing:
    """Stands for the modules of Ray that are installed and not connected."""

    @staticmethod
    def is_initialized() -> bool:
        return False
