"""The shipped network: small, whole, honest in its first line, and usable without training code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.explain.sanity.run import find_card
from cxresnet.predict.bundled import BUNDLED_RUN, read_bundled_headline
from cxresnet.predict.decision import read_decision
from cxresnet.predict.predictor import load_predictor

_LARGEST_BYTES = 8_000_000


@pytest.fixture
def images(tmp_path: Path) -> Path:
    levels = np.random.default_rng(0).integers(0, 255, (80, 90)).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "image.png")
    (tmp_path / "letter.txt").write_text("not an image")
    return tmp_path


def _predict(*words: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a fresh process that says which of the heavy packages it imported."""
    code = (
        "import sys; from cxresnet.cli.app import run_command_line; "
        "code = run_command_line(sys.argv[1:]); "
        "print('IMPORTED', 'lightning' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "predict", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_whole_and_at_most_eight_megabytes() -> None:
    predictor = load_predictor(BUNDLED_RUN.checkpoint)

    size = sum(path.stat().st_size for path in BUNDLED_RUN.path.rglob("*") if path.is_file())
    assert size <= _LARGEST_BYTES
    assert set(predictor.class_names) == {"normal", "pneumonia", "covid-19"}


@pytest.mark.slow
def test_its_decision_belongs_to_its_weights_and_needs_no_metrics() -> None:
    decision = read_decision(BUNDLED_RUN)

    assert decision is not None
    assert decision.class_names == load_predictor(BUNDLED_RUN.checkpoint).class_names
    assert len(decision.set_thresholds) == len(decision.class_names)
    assert decision.operating_point.chosen_on.endswith("images of sources left out of training")
    assert {path.name for path in BUNDLED_RUN.evaluate.iterdir()} == {
        "decision.json",
        "training_images",
    }


@pytest.mark.slow
def test_the_sanity_card_of_its_maps_belongs_to_its_weights() -> None:
    card = find_card(BUNDLED_RUN.explain, load_predictor(BUNDLED_RUN.checkpoint))

    assert card is not None
    assert {method.name for method in card.methods} >= {"occlusion", "grad_cam"}


def test_its_weights_have_a_licence_of_their_own() -> None:
    text = (BUNDLED_RUN.path / "WEIGHTS_LICENSE.md").read_text(encoding="utf-8")
    assert "CC BY-NC-SA 4.0" in text
    assert "Research and teaching only" in text


@pytest.mark.slow
def test_its_card_begins_with_the_verdict_on_the_data() -> None:
    verdict = load_predictor(BUNDLED_RUN.checkpoint).record.notes["data_verdict"]

    headline = read_bundled_headline()

    assert verdict
    assert ("RED" in headline) == ("RED" in verdict)
    assert "not a medical device" in headline


@pytest.mark.slow
def test_it_answers_without_a_run_and_without_lightning(images: Path) -> None:
    result = _predict(str(images), "--no-gate", "--format", "json")

    assert result.returncode == 0, result.stderr
    assert "IMPORTED False" in result.stderr
    rows = {Path(row["file"]).name: row for row in json.loads(result.stdout)}
    shares = [value for name, value in rows["image.png"].items() if name.startswith("probability_")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert rows["letter.txt"]["refused"]
    assert rows["letter.txt"]["decision"] == ""


@pytest.mark.slow
def test_the_first_line_of_the_card_stands_beside_every_answer(images: Path) -> None:
    result = _predict(str(images / "image.png"), "--no-gate", "--format", "csv")

    said = " ".join(result.stderr.split())
    assert read_bundled_headline()[:60] in said
    assert result.stdout.splitlines()[0].startswith('"file","decision"')
