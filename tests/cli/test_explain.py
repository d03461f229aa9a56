"""`cxresnet explain` lists its methods, and refuses others."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.cli.explain import _list_names
from cxresnet.core.config import read_config


def test_the_help_lists_the_methods(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_command_line(["explain", "--help"]) == 0
    words = capsys.readouterr().out
    for name in ("occlusion", "integrated_gradients", "kernel_shap", "guided_backprop"):
        assert name in words
    for option in ("--image", "--sanity-checks", "--no-sanity-checks", "--sanity-checks-only"):
        assert option in words


def test_names_with_commas_become_the_methods_of_the_config() -> None:
    setting = f"explain.methods={_list_names(' deep-lift, occlusion,')}"
    config = read_config(settings=[setting])
    assert config.explain.methods == ("deep_lift", "occlusion")


def test_an_unknown_method_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command_line(["explain", str(tmp_path), "--methods", "magic"]) == 2
    words = capsys.readouterr().err.replace("\n", " ")
    assert "explain.methods" in words
    assert "occlusion" in words
