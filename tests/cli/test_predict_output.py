"""What `cxresnet predict` prints for decided, abstained and refused images."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxresnet.cli.app import run_command_line
from cxresnet.core.config import ModelConfig
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.predict.decision import (
    DECISION_NAME,
    build_plain_decision,
    compute_network_hash,
    write_decision,
)

CLASS_NAMES = ("normal", "covid-19")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=2)
    record = CheckpointRecord(
        model=config,
        class_names=CLASS_NAMES,
        preprocessing=Preprocessing(
            side_px=32,
            common_side_px=48,
            resize_mode="crop",
            low_percentile=1,
            high_percentile=99,
            border_cut=0,
            mean=0.5,
            sd=0.25,
        ).model_dump(),
    )
    folder = claim_run_folder(tmp_path / "run", dataset=tmp_path)
    write_checkpoint(folder.checkpoint, tensors=model.state_dict(), record=record)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 255, (80, 90)).astype(np.uint8)
    Image.fromarray(levels).save(folder / "image.png")
    (folder / "letter.txt").write_text("not an image")
    return folder


def _write_decision(run: RunFolder, threshold: float) -> None:
    plain = build_plain_decision(CLASS_NAMES, network=compute_network_hash(run))
    # The network is not trained and gives nearly one half: log-odds of 1 make it .731 and .269.
    point = plain.operating_point.model_copy(update={"shifts": (1.0, 0.0)})
    changes = {
        "operating_point": point,
        "set_thresholds": (threshold, threshold),
        "nominal_coverage": 0.9,
    }
    write_decision(run.evaluate / DECISION_NAME, plain.model_copy(update=changes))


@pytest.mark.parametrize(("threshold", "abstains"), [(0.5, False), (0.0, True), (1.1, True)])
def test_the_decision_of_the_run_decides_or_abstains(
    run: RunFolder,
    images: Path,
    capsys: pytest.CaptureFixture[str],
    threshold: float,
    abstains: bool,
) -> None:
    _write_decision(run, threshold)
    assert run_command_line(["predict", str(images), "--run", str(run.path), "--format=csv"]) == 0
    output = capsys.readouterr()
    decided, refused = csv.DictReader(io.StringIO(output.out))
    assert decided["predicted_class"] == "normal"
    assert float(decided["probability_normal"]) == pytest.approx(0.731, abs=0.02)
    assert (decided["decision"] == "abstain") == abstains
    assert abstains or decided["decision"] == decided["prediction_set"]
    assert (refused["decision"], refused["probability_normal"]) == ("", "")
    assert refused["refused"]
    assert "has not been evaluated" not in output.err


def test_a_run_that_was_not_evaluated_says_so_and_never_abstains(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(images / "image.png"), "--run", str(run.path), "--format=json"]
    assert run_command_line(arguments) == 0
    output = capsys.readouterr()
    assert "This network was not evaluated yet" in " ".join(output.err.split())
    (row,) = json.loads(output.out)
    assert row["decision"] == row["predicted_class"] == row["prediction_set"]


def test_where_every_file_is_refused_the_command_fails(
    run: RunFolder, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["predict", str(images / "letter.txt"), "--run", str(run.path)]) == 2
    assert "No image was classified" in " ".join(capsys.readouterr().err.split())
