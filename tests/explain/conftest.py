"""Networks that can be worked out by hand, and an irregular run that was evaluated."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cxresnet.core.config import DataConfig, EvaluateConfig, ExplainConfig, ModelConfig
from cxresnet.core.files import compute_sha256
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import (
    ACCESS_LOG_NAME,
    IMAGES_NAME,
    LUNG_MASKS_NAME,
    MANIFEST_NAME,
    DatasetRecord,
    ImageCounts,
    compute_dataset_hash,
    write_dataset_record,
)
from cxresnet.data.dataset.held_out import AccessRequest, start_access_log
from cxresnet.data.manifest import MANIFEST_COLUMNS, build_manifest, write_manifest
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.record import write_evaluation
from cxresnet.explain import figures
from cxresnet.explain.run import run_explain
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.predict import load_predictor, write_predictions
from cxresnet.predict.decision import OperatingPoint


class SquareNetwork(nn.Module):
    """Logit of class 1 = 4 × mean of one 8×8 square; logit of class 0 = 0."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images[:, 0, 8:16, 16:24].mean(dim=(1, 2))
        return torch.stack([torch.zeros_like(mean), 4 * mean], dim=1)


class TinyNetwork(nn.Module):
    """Convolution, norm, ReLU, mean over the map, one linear layer: as CXResNet ends."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 5, kernel_size=3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.activation = nn.ReLU()
        self.head = nn.Linear(5, 3)

    @property
    def target_layer(self) -> nn.Module:
        return self.activation

    def forward_features(self, images: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(images)))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.forward_features(images).mean(dim=(2, 3)))


@pytest.fixture
def square_network() -> SquareNetwork:
    return SquareNetwork().eval()


@pytest.fixture
def tiny_network() -> TinyNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = TinyNetwork()
        # Far from even probabilities, so that a mistake in the softmax shows.
        network.head.weight.data.mul_(8)
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(5))


UNKIND_CLASSES = ("normal", "pneumonia", "covid-19")
UNKIND_SIDE_PX = 32
UNKIND_POINT = OperatingPoint(
    rule="argmax",
    temperature=3.0,
    shifts=(0.4, -0.3, -0.1),
    weights=(1.0, 1.5, 1.2),
    chosen_on="nothing: set by hand",
    scores={},
)

# One row a patient: split, class, number of images. The class of most images has few patients.
_UNKIND_PATIENTS = (
    ("test", 0, 6), ("train", 2, 3), ("test", 1, 2), ("train", 0, 4), ("val", 1, 2),
    ("test", 0, 3), ("test", 2, 1), ("train", 1, 1), ("val", 0, 3), ("test", 1, 1),
    ("train", 0, 2), ("test", 0, 4), ("val", 2, 1), ("train", 2, 1), ("test", 2, 2),
)  # fmt: skip


def _write_unkind_dataset(folder: Path) -> PreparedDataset:
    """Write 1 to 6 images of each of 15 patients, of three classes and from two sources."""
    patient = np.repeat(np.arange(15), [count for *_, count in _UNKIND_PATIENTS])
    count = len(patient)
    rows = [_UNKIND_PATIENTS[number] for number in patient]
    images = np.random.default_rng(7).normal(120, 40, (count, UNKIND_SIDE_PX, UNKIND_SIDE_PX))
    images = (images + 10 * patient[:, None, None] % 70).clip(0, 255).astype(np.uint8)
    texts = {name: [""] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "str"}
    whole = {name: [-1] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "int64"}
    measured = {name: [0.5] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "float64"}
    manifest = build_manifest(
        {
            **texts,
            **whole,
            **measured,
            "image_id": [f"patient-{one}/image-{row}.png" for row, one in enumerate(patient)],
            "class_name": [UNKIND_CLASSES[label] for _, label, _ in rows],
            "patient_id": [f"patient-{one}" for one in patient],
            "source": ["south" if one % 3 == 0 else "north" for one in patient],
            "split": [split for split, *_ in rows],
            "group_id": patient.tolist(),
            "cluster_id": list(range(count)),
            "lung_mask_row": [row if row % 8 else -1 for row in range(count)],
            "pixels_sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        }
    )
    masks = np.zeros_like(images)
    masks[:, 6:28, 3:14] = masks[:, 6:28, 18:29] = 255
    folder.mkdir(parents=True)
    write_manifest(folder / MANIFEST_NAME, manifest)
    np.save(folder / IMAGES_NAME, images)
    np.save(folder / LUNG_MASKS_NAME, masks)
    start_access_log(folder / ACCESS_LOG_NAME)
    names = (MANIFEST_NAME, IMAGES_NAME, LUNG_MASKS_NAME)
    files = {name: compute_sha256(folder / name) for name in names}
    config = DataConfig(side_px=UNKIND_SIDE_PX)
    record = DatasetRecord(
        name="unkind",
        source="drawn",
        class_names=UNKIND_CLASSES,
        images=ImageCounts(scanned=count, rejected=0, conflicting=0, kept=count),
        counts={},
        patients_unknown_share=0.0,
        preprocessing=build_preprocessing(config).model_copy(update={"mean": 0.45, "sd": 0.2}),
        config=config,
        versions={},
        files=files,
        dataset_hash=compute_dataset_hash(files),
        warnings=(),
        created_utc="2026-01-01T00:00:00+00:00",
    )
    write_dataset_record(folder, record)
    return open_dataset(folder)


@pytest.fixture(scope="session")
def _unkind_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unkind")
    dataset = _write_unkind_dataset(folder / "dataset")
    run = claim_run_folder(folder / "run", dataset=dataset.path)
    config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, class_count=3)
        nn.init.normal_(model.head.weight, std=3.0)
    record = CheckpointRecord(
        model=config,
        class_names=UNKIND_CLASSES,
        preprocessing=dataset.preprocessing.model_dump(mode="json"),
        dataset_hash=dataset.dataset_hash,
    )
    write_checkpoint(run.checkpoint, tensors=model.state_dict(), record=record)
    request = AccessRequest(reason="evaluate", run="run", network="", config="c")
    test = dataset.open_held_out_test(request)
    predictions = load_predictor(run.checkpoint).predict_image_set(test)
    write_predictions(run.predictions, predictions)
    evaluation = evaluate_predictions(
        predictions,
        config=EvaluateConfig(bootstrap_resamples=100),
        operating_point=UNKIND_POINT,
    )
    write_evaluation(run.metrics, evaluation)
    return folder


def _encode_quickly(picture: Image.Image) -> bytes:
    """Encode a small figure: its content does not matter here, and a full one takes a second."""
    stream = io.BytesIO()
    picture.resize((8, 8)).save(stream, "PNG")
    return stream.getvalue()


UNKIND_CONFIG = ExplainConfig(
    methods=("occlusion", "grad_cam"),
    images_per_class=1,
    occlusion_baselines=("mean",),
    occlusion_window_share=0.5,
    occlusion_stride_share=0.5,
    sanity_check_images=4,
    neighbours=2,
    zone_mean_images=1,
)


@pytest.fixture
def unkind_config() -> ExplainConfig:
    """The config of the maps and of the sanity card of the irregular run."""
    return UNKIND_CONFIG


@pytest.fixture
def unkind_run(_unkind_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """An irregular run that was evaluated; a test may write into it.

    It has several images per patient, three unbalanced classes, two sources, splits in mixed order,
    images without a lung mask, and a calibration and class weights that change decisions.
    """
    monkeypatch.setattr(figures, "_encode", _encode_quickly)
    shutil.copytree(_unkind_run, tmp_path / "unkind")
    return RunFolder(tmp_path / "unkind" / "run")


@pytest.fixture(scope="session")
def unkind_maps(_unkind_run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The irregular run with its maps, made without a sanity card; only to be read."""
    folder = tmp_path_factory.mktemp("maps") / "unkind"
    shutil.copytree(_unkind_run, folder)
    run = RunFolder(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_encode", _encode_quickly)
        run_explain(run, config=UNKIND_CONFIG, outputs="maps")
    return run


@pytest.fixture(scope="session")
def unkind_card(_unkind_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `explain` of the irregular run with its sanity card alone; only to be read."""
    folder = tmp_path_factory.mktemp("card") / "unkind"
    shutil.copytree(_unkind_run, folder)
    return run_explain(RunFolder(folder / "run"), config=UNKIND_CONFIG, outputs="sanity").path
