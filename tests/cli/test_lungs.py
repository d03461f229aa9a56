from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.cli.app import run_command_line
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms


@pytest.mark.slow
def test_masks_contours_and_reasons_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = PhantomSettings(images_per_class=1, side_px=160, seed=99)
    drawn = draw_phantom(plan_phantoms(settings)[0], settings)
    wide = Image.fromarray(drawn.pixels).resize((200, 180))
    images = tmp_path / "images"
    images.mkdir()
    wide.save(images / "a.png")
    Image.fromarray(np.rot90(drawn.pixels)).save(images / "b.png")
    (images / "c.png").write_bytes(b"no picture at all")
    out = tmp_path / "out"
    assert run_command_line(["lungs", str(images), "--out", str(out)]) == 0
    assert "Lungs segmented on 1 of 3 images" in capsys.readouterr().out
    with (out / "lungs.csv").open(newline="") as stream:
        good, lying, broken = csv.DictReader(stream)
    mask = np.asarray(Image.open(out / good["mask"]))
    truth = np.asarray(Image.fromarray(drawn.lung_mask).resize((200, 180))) > 127
    assert mask.shape == (180, 200)
    assert 2 * ((mask > 0) & truth).sum() / ((mask > 0).sum() + truth.sum()) > 0.9
    contour = np.asarray(Image.open(out / good["contour"]))
    assert contour.shape[1:] == (200, 3)
    assert contour.shape[0] > 180, "a strip with the disclaimer stands below the image"
    assert contour[180:].max() > 128
    assert good["refused"] == ""
    assert float(good["area_share"]) == pytest.approx((mask > 0).mean(), abs=1e-4)
    assert lying["mask"] == ""
    assert lying["refused"].startswith("No reliable lungs found")
    assert broken["contour"] == ""
    assert broken["refused"]
