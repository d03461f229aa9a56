"""A run and images that several commands share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxresnet.core.config import ModelConfig
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A tiny network that was not trained."""
    config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=2)
    record = CheckpointRecord(
        model=config,
        class_names=("normal", "covid-19"),
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
        notes={"data_verdict": "Verdict on the data: RED."},
    )
    folder = claim_run_folder(tmp_path / "run", dataset=tmp_path)
    write_checkpoint(folder.checkpoint, tensors=model.state_dict(), record=record)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One image, and one file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 255, (80, 90)).astype(np.uint8)
    Image.fromarray(levels).save(folder / "image.png")
    (folder / "letter.txt").write_text("not an image")
    return folder
