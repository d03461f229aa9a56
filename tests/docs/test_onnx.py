"""The page "Export to ONNX and run faster": what it tells to write gives what `predict` gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

import cxresnet
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.predict.onnx_export import export_onnx

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "onnx.md"


@pytest.mark.slow
def test_the_example_gives_the_probabilities_of_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    monkeypatch.chdir(tmp_path)
    settings = PhantomSettings(images_per_class=1, side_px=160, seed=99)
    Image.fromarray(draw_phantom(plan_phantoms(settings)[0], settings).pixels).save("chest.png")
    model = cxresnet.load(gate=False)
    export_onnx(model.predictor, model.decision, tmp_path / "network.onnx", images=1)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

    exec(code, {})  # noqa: S102  the code of our own page

    shown = dict(re.findall(r"'([\w-]+)': np\.float64\(([\d.e-]+)\)", capsys.readouterr().out))
    expected = model.predict("chest.png").probabilities
    assert {name: float(share) for name, share in shown.items()} == pytest.approx(
        expected, abs=1e-4
    )
