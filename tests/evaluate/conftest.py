"""Small datasets and runs, written by hand: nothing here needs `prepare` or `train`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxresnet.core.config import DataConfig, EvaluateConfig, ModelConfig
from cxresnet.core.files import compute_sha256
from cxresnet.core.run_folder import RunFolder, claim_run_folder
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.dataset_record import (
    ACCESS_LOG_NAME,
    DatasetRecord,
    ImageCounts,
    compute_dataset_hash,
    write_dataset_record,
)
from cxresnet.data.dataset.held_out import start_access_log
from cxresnet.data.manifest import MANIFEST_COLUMNS, build_manifest, write_manifest
from cxresnet.data.prepare.preprocessing import Preprocessing
from cxresnet.evaluate.evaluation import run_evaluate
from cxresnet.model.checkpoint import CheckpointRecord, write_checkpoint
from cxresnet.model.presets import build_model
from cxresnet.predict import Predictions
from cxresnet.shortcuts import baseline

CLASS_NAMES = ("normal", "pneumonia", "covid-19")
SIDE_PX = 32


@pytest.fixture(autouse=True)
def _grow_small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of an evaluation goes into trees that no test here looks at."""
    few = replace(baseline.BASELINE_FOREST, trees=20)
    monkeypatch.setattr(baseline, "BASELINE_FOREST", few)


_CONFIG = EvaluateConfig(bootstrap_resamples=100, shortcut_baselines=False)


@pytest.fixture
def config() -> EvaluateConfig:
    """The default but for time: few resamples, and no baselines to train."""
    return _CONFIG


@pytest.fixture
def config_with_baselines(config: EvaluateConfig) -> EvaluateConfig:
    return config.model_copy(update={"shortcut_baselines": True})


def _write_dataset(
    folder: Path,
    *,
    splits: tuple[tuple[str, int], ...] = (("train", 36), ("val", 18), ("test", 24)),
    class_names: tuple[str, ...] = CLASS_NAMES,
    seed: int = 0,
    side_px: int = SIDE_PX,
    brighter_by: int = 0,
    **columns: list[object],
) -> PreparedDataset:
    """Write images whose brightness tells the class, two a patient, from two sources."""
    generator = np.random.default_rng(seed)
    split = [name for name, count in splits for _ in range(count)]
    numbers = np.arange(len(split))
    labels = (numbers // 2) % len(class_names)
    images = generator.normal(90, 25, size=(len(split), side_px, side_px))
    images = (images + brighter_by + 40 * labels[:, None, None]).clip(0, 255).astype(np.uint8)
    texts = {name: [""] * len(split) for name, kind in MANIFEST_COLUMNS.items() if kind == "str"}
    whole = {name: [-1] * len(split) for name, kind in MANIFEST_COLUMNS.items() if kind == "int64"}
    manifest = build_manifest(
        {
            **texts,
            **whole,
            "border_grey": [0.5] * len(split),
            "flat_patch_share": [0.05] * len(split),
            "bandwidth_share": [1.0] * len(split),
            "block_edge_strength": [1.0] * len(split),
            "image_id": [f"image-{seed}-{number}" for number in numbers],
            "class_name": [class_names[label] for label in labels],
            "patient_id": [f"patient-{number // 2}" for number in numbers],
            "source": ["north" if number % 4 < 2 else "south" for number in numbers],
            "split": split,
            "group_id": (numbers // 2).tolist(),
            "cluster_id": numbers.tolist(),
            "view": ["PA" if number % 3 else "AP" for number in numbers],
            "age_years": [str(20 + number % 60) for number in numbers],
            "file_width": [600 + int(number % 5) for number in numbers],
            "file_height": [500] * len(split),
            "file_bytes": [9000 + int(number % 7) for number in numbers],
            "file_format": ["PNG"] * len(split),
            "file_mode": ["L"] * len(split),
            "content_sha256": [f"content-{seed}-{number}" for number in numbers],
            "pixels_sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
            **columns,
        }
    )
    folder.mkdir(parents=True)
    write_manifest(folder / "manifest.csv", manifest)
    np.save(folder / "images.npy", images)
    start_access_log(folder / ACCESS_LOG_NAME)
    files = {name: compute_sha256(folder / name) for name in ("manifest.csv", "images.npy")}
    record = DatasetRecord(
        name=folder.name,
        source="drawn",
        class_names=class_names,
        images=ImageCounts(scanned=len(split), rejected=0, conflicting=0, kept=len(split)),
        counts={},
        patients_unknown_share=0.0,
        preprocessing=_build_preprocessing(side_px),
        config=DataConfig(),
        versions={},
        files=files,
        dataset_hash=compute_dataset_hash(files),
        warnings=(),
        created_utc="2026-01-01T00:00:00+00:00",
    )
    write_dataset_record(folder, record)
    return open_dataset(folder)


def _build_preprocessing(side_px: int) -> Preprocessing:
    return Preprocessing(
        side_px=side_px,
        common_side_px=48,
        resize_mode="crop",
        low_percentile=1,
        high_percentile=99,
        border_cut=0,
        mean=0.5,
        sd=0.25,
    )


@pytest.fixture
def write_dataset() -> Callable[..., PreparedDataset]:
    return _write_dataset


@pytest.fixture(scope="session")
def untrained_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset and a run with a network that nobody trained; only to be copied."""
    place = tmp_path_factory.mktemp("untrained")
    dataset = _write_dataset(place / "dataset")
    folder = claim_run_folder(place / "run", dataset=dataset.path)
    model_config = ModelConfig(preset="nano", stem_width=4, widths=(4, 8), depths=(1, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(model_config, class_count=3)
    record = CheckpointRecord(
        model=model_config,
        class_names=CLASS_NAMES,
        preprocessing=dataset.preprocessing.model_dump(),
        dataset_hash=dataset.dataset_hash,
    )
    write_checkpoint(folder.checkpoint, tensors=model.state_dict(), record=record)
    return place


@pytest.fixture(scope="session")
def evaluated_place(untrained_place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after `evaluate`; only to be copied."""
    place = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(untrained_place, place, dirs_exist_ok=True)
    run_evaluate(RunFolder(place / "run"), config=_CONFIG)
    return place


@pytest.fixture
def run(untrained_place: Path, tmp_path: Path) -> RunFolder:
    """A run as `train` would leave it; its dataset lies beside it."""
    shutil.copytree(untrained_place, tmp_path, dirs_exist_ok=True)
    return RunFolder(tmp_path / "run")


@pytest.fixture
def evaluated(evaluated_place: Path, tmp_path: Path) -> RunFolder:
    """A run as `evaluate` would leave it, with `config`; its dataset lies beside it."""
    shutil.copytree(evaluated_place, tmp_path, dirs_exist_ok=True)
    return RunFolder(tmp_path / "run")


def _draw_predictions(
    images: int = 120,
    *,
    per_patient: int = 2,
    skill: float = 2.0,
    sources: tuple[str, ...] = ("north", "south"),
    seed: int = 0,
) -> Predictions:
    """Draw images of three classes and logits that know the class to a degree."""
    generator = np.random.default_rng(seed)
    patient = np.arange(images) // per_patient
    truth = patient % 3
    logits = generator.normal(size=(images, 3)) + skill * np.eye(3)[truth]
    return Predictions(
        image_ids=tuple(f"image {number}" for number in range(images)),
        patient_ids=tuple(f"patient {number}" for number in patient),
        group_ids=tuple(str(number) for number in patient),
        sources=tuple(sources[(number // 3) % len(sources)] for number in patient),
        truth=truth.astype(np.int64),
        logits=logits.astype(np.float32),
        class_names=CLASS_NAMES,
    )


@pytest.fixture
def draw_predictions() -> Callable[..., Predictions]:
    return _draw_predictions


def _draw_unkind_predictions(
    patients: int = 90, *, skill: float = 1.0, seed: int = 0
) -> Predictions:
    """Draw images as hospitals send them: one to six of a patient, alike, of 6 : 3 : 1 classes.

    The north sends hardly any covid-19, the south hardly anything else. The first two patients
    share a copy and are one group; the third shows two classes.
    """
    generator = np.random.default_rng(seed)
    label = generator.permutation(np.arange(patients) * 10 // patients)
    label = np.where(label < 6, 0, np.where(label < 9, 1, 2))
    patient = np.repeat(np.arange(patients), generator.integers(1, 7, size=patients))
    truth = label[patient]
    truth[np.flatnonzero(patient == 2)[0]] = 2 - label[2]
    own = generator.normal(size=(patients, 3))
    logits = skill * np.eye(3)[truth] + own[patient]
    logits += generator.normal(0, 0.2, size=logits.shape)
    south = generator.random(patients) < np.array([0.3, 0.5, 0.9])[label]
    return Predictions(
        image_ids=tuple(f"image {number}" for number in range(len(patient))),
        patient_ids=tuple(f"patient {number}" for number in patient),
        group_ids=tuple(str(max(number, 1)) for number in patient),
        sources=tuple("south" if south[number] else "north" for number in patient),
        truth=truth.astype(np.int64),
        logits=logits.astype(np.float32),
        class_names=CLASS_NAMES,
    )


@pytest.fixture
def draw_unkind_predictions() -> Callable[..., Predictions]:
    return _draw_unkind_predictions
