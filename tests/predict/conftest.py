from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxresnet.core.config import ModelConfig
from cxresnet.data.preprocess import Preprocessing
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictor, load_predictor

CLASS_NAMES = ("normal", "pneumonia", "covid-19")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with weights of a fixed seed, as training would leave it."""
    config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=3)
    record = CheckpointRecord(
        model=config,
        class_names=CLASS_NAMES,
        preprocessing=Preprocessing(
            side_px=32,
            common_side_px=48,
            fit="crop",
            low_percentile=1,
            high_percentile=99,
            border_cut=0,
            mean=0.5,
            sd=0.25,
        ).model_dump(),
    )
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    return write_checkpoint(folder, tensors=model.state_dict(), record=record)


@pytest.fixture(scope="session")
def predictor(checkpoint: Path) -> Predictor:
    return load_predictor(checkpoint)
