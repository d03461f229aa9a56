"""`cxresnet explain`: its methods, and the cards of any images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.cli.app import run_command_line
from cxresnet.cli.explain import _list_names
from cxresnet.core.config import read_config
from cxresnet.core.run_folder import RunFolder


def test_the_help_lists_the_methods(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_command_line(["explain", "--help"]) == 0
    words = capsys.readouterr().out
    for name in ("occlusion", "integrated_gradients", "kernel_shap", "guided_backprop"):
        assert name in words
    for option in (
        "--test-image",
        "--run",
        "--out",
        "--sanity-checks",
        "--no-sanity-checks",
        "--sanity-checks-only",
    ):
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


def _explain(images: Path, run: RunFolder, out: Path, *more: str) -> int:
    words = ["explain", str(images), "--run", str(run.path), "--out", str(out), "--no-gate"]
    return run_command_line([*words, "--methods", "grad_cam", *more])


@pytest.mark.slow
def test_each_image_gets_a_card_and_one_that_is_refused_stops_nothing(
    run: RunFolder, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cards"
    assert _explain(images, run, out, "--class", "covid") == 0
    assert "letter.txt" in capsys.readouterr().err

    (card,) = out.glob("*.json")
    record = json.loads(card.read_text(encoding="utf-8"))
    assert record["file"].endswith("image.png")
    assert record["network"] == "run"
    assert record["index"]["images"][0]["explained_class"] == "covid-19"
    assert record["neighbours"] is None
    assert [one["passed"] for one in record["sanity"]] == [None]
    with np.load(card.with_suffix(".npz")) as arrays:
        assert arrays["map_grad_cam"].shape == (1, 32, 32)
    with Image.open(card.with_suffix(".png")) as picture:
        assert picture.format == "PNG"
    page = card.with_suffix(".html").read_text(encoding="utf-8")
    assert "not a medical device" in page
    assert 'src="http' not in page
    index = (out / "index.html").read_text(encoding="utf-8")
    assert f'href="{card.stem}.html"' in index
    assert "letter.txt" in index


@pytest.mark.slow
def test_cards_that_are_complete_are_kept_and_others_made_again(
    run: RunFolder, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cards"
    (images / "b").mkdir()
    shutil.copyfile(images / "image.png", images / "b" / "image.png")
    assert _explain(images, run, out) == 0
    first, second = sorted(out.glob("image-*.json"))
    before = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    second.with_suffix(".png").unlink()

    assert _explain(images, run, out) == 0
    assert "1 of 3 cards were complete already" in capsys.readouterr().out
    assert first.stat().st_mtime_ns == before[0]
    assert second.stat().st_mtime_ns > before[1]
    assert second.with_suffix(".png").is_file()
    assert _explain(images / "image.png", run, out, "--class", "normal") == 0
    assert "complete already" not in capsys.readouterr().out


@pytest.mark.slow
def test_what_the_argument_is_decides_and_options_of_the_other_are_refused(
    run: RunFolder, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(images / "image.png")
    for words, message in (
        ([str(tmp_path / "nowhere")], "There is no"),
        ([image, str(run.path)], "--run"),
        ([str(run.path), "--out", str(tmp_path)], "is a run"),
        ([image, "--test-image", "1.png"], "--test-image is for a run"),
        ([str(images), "--out", str(images)], "Give another folder"),
        ([str(run.path), "--image", "1.png"], "is now --test-image"),
        ([image, "--class", "measles", "--out", str(tmp_path / "x")], "no class 'measles'"),
    ):
        assert run_command_line(["explain", *words]) == 2
        assert message in capsys.readouterr().err.replace("\n", " "), words
    assert run_command_line(["explain", str(run.path)]) == 2
    assert "is not evaluated yet" in capsys.readouterr().err


def test_where_every_image_is_refused_the_page_names_them(
    run: RunFolder, images: Path, tmp_path: Path
) -> None:
    assert _explain(images / "letter.txt", run, tmp_path / "cards") == 2
    assert "letter.txt" in (tmp_path / "cards" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_predict_writes_cards_too(
    run: RunFolder, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(images), "--no-gate", "--run", str(run.path), "--format=csv"]
    assert run_command_line([*words, "--explain", str(tmp_path / "cards")]) == 0
    assert capsys.readouterr().out.startswith('"file","decision"')
    (card,) = (tmp_path / "cards").glob("*.json")
    assert (
        json.loads(card.read_text(encoding="utf-8"))["index"]["methods"][0]["name"] == "occlusion"
    )
