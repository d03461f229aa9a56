from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cxresnet.core.config import ModelConfig
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.prepare.preprocessing import Preprocessing
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
            resize_mode="crop",
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


@pytest.fixture(scope="session")
def unkind_images() -> ImageSet:
    """Images of a dataset that is anything but regular, with classes in another order.

    Several images a patient, or patients who are not named; unbalanced; three classes that the
    network knows and one that it does not; patients, groups and sources are all different columns.
    """
    names = ("covid-19", "tuberculosis", "normal", "pneumonia")
    labels = np.array([2, 2, 0, 2, 1, 3, 2, 2, 0, 2, 1])
    patients = ["p1", "p1", "p2", "", "p3", "p4", "p1", "p5", "p2", "", "p3"]
    groups = [7, 7, 3, 12, 5, 5, 7, 1, 3, 11, 5]  # p3 and p4 are one group: near-duplicates
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{number}" for number in (4, 0, 9, 3, 1, 8, 2, 7, 10, 5, 6)],
            "patient_id": patients,
            "group_id": groups,
            "source": ["south" if group > 5 else "north" for group in groups],
            "class_name": [names[label] for label in labels],
            "lung_mask_row": -1,
            "lesion_mask_row": -1,
        }
    )
    images = np.random.default_rng(3).integers(0, 256, (len(labels), 32, 32), np.uint8)
    return ImageSet(images=images, labels=labels, manifest=manifest)
