"""`cxresnet export`, and `--backend` of the commands that predict."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxresnet.cli.app import run_command_line
from cxresnet.core.run_folder import RunFolder

INSTALL = 'pip install "cxresnet[fast]"'


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason=f"onnxruntime is not installed: {INSTALL}")
    onnx_export = pytest.importorskip("cxresnet.predict.onnx_export")
    pytest.importorskip("onnx", reason=f"onnx is not installed: {INSTALL}")
    monkeypatch.setitem(onnx_export.export_onnx.__kwdefaults__, "images", 4)


@pytest.mark.slow
def test_a_run_is_exported_and_checked(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "network.onnx"
    assert run_command_line(["export", "--run", str(run.path), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    said = " ".join(shown.out.split())
    assert "Checked on 4 drawn images" in said
    assert "It holds the network alone" in said
    assert "Verdict on the data: RED." in shown.err
    assert out.stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["network.onnx"]


def test_a_run_that_is_none_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "network.onnx"
    assert run_command_line(["export", "--run", str(tmp_path), "--out", str(out)]) == 2
    assert "is not a run" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_predict_says_the_same_with_each_backend(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(images), "--no-gate", "--run", str(run.path), "--format=csv"]
    shown = []
    for backend in ("torch", "onnxruntime", "auto"):
        assert run_command_line([*words, "--backend", backend]) == 0
        shown.append(capsys.readouterr().out)
    assert "probability_normal" in shown[0]
    assert shown[1] == shown[2]
    # Rounding may differ in the last of six digits.
    for ours, theirs in zip(shown[0].split(","), shown[1].split(","), strict=True):
        same = ours == theirs or float(ours) == pytest.approx(float(theirs), abs=1e-4)
        assert same
