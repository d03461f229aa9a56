"""A dataset in memory: squares at left or right on noise, which a tiny network learns at once."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import Config, ModelConfig, TrainConfig
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.prepare.preprocessing import Preprocessing

SIDE_PX = 16
UNEVEN_CLASSES = ("left", "middle", "right")
PREPROCESSING = Preprocessing(
    side_px=SIDE_PX,
    common_side_px=SIDE_PX,
    resize_mode="crop",
    low_percentile=1,
    high_percentile=99,
    border_cut=0,
    mean=0.3,
    sd=0.25,
)


@dataclass(frozen=True)
class SquaresDataset:
    """What `run_train` asks of a `PreparedDataset`."""

    images: ImageSet
    class_names: tuple[str, ...] = ("left", "right")
    dataset_hash: str = "squares"
    preprocessing: Preprocessing = PREPROCESSING
    verdict: str = "Verdict on the data: GREEN."

    @property
    def manifest(self) -> pd.DataFrame:
        return self.images.manifest

    def select(self, split: str) -> ImageSet:
        return self._take((self.images.manifest["split"] == split).to_numpy())

    def select_fold(self, fold: int, role: str) -> ImageSet:
        folds = self.images.manifest["fold"].to_numpy()
        return self._take(folds == fold if role == "val" else (folds != fold) & (folds >= 0))

    def _take(self, chosen: np.ndarray) -> ImageSet:
        return ImageSet(
            images=self.images.images[chosen],
            labels=self.images.labels[chosen],
            manifest=self.images.manifest[chosen].reset_index(drop=True),
        )


def build_squares(*, images: int = 72, seed: int = 0) -> SquaresDataset:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, images)
    pictures = generator.integers(0, 120, (images, SIDE_PX, SIDE_PX)).astype(np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        left = 2 if label == 0 else 10
        picture[5:11, left : left + 4] = 220
    numbers = np.arange(images)
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{number:03}" for number in numbers],
            "class_name": np.where(labels == 0, "left", "right"),
            "patient_id": [f"patient-{number:03}" for number in numbers],
            "source": np.where(numbers % 4 == 0, "east", "west"),
            "split": np.where(numbers % 3 == 2, "val", "train"),
            "fold": numbers % 4,
            "group_id": [f"group-{number:03}" for number in numbers],
        }
    )
    return SquaresDataset(ImageSet(images=pictures, labels=labels, manifest=manifest))


def build_uneven(*, seed: int = 0) -> SquaresDataset:
    """An unkind dataset: three classes, rare ones, 1 to 4 images a patient, unlike hospitals.

    Of 44 training images 32 show the first class, 8 the second and 4 the third; of 9 of validation
    2, 3 and 4. The third class is only in the west.
    """
    generator = np.random.default_rng(seed)
    counts = {"train": (32, 8, 4), "val": (2, 3, 4)}
    rows = [
        (split, label, number // (1 + label % 2 + 2 * (split == "train")))
        for split, numbers in counts.items()
        for label, count in enumerate(numbers)
        for number in range(count)
    ]
    labels = np.array([label for _, label, _ in rows])
    pictures = generator.integers(0, 120, (len(rows), SIDE_PX, SIDE_PX)).astype(np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[5:11, 1 + 5 * label : 5 + 5 * label] = 220
    patients = [f"{split}-{label}-{patient}" for split, label, patient in rows]
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{number:03}" for number in range(len(rows))],
            "class_name": np.array(UNEVEN_CLASSES)[labels],
            "patient_id": patients,
            "source": [
                "west" if label == 2 or patient % 3 == 0 else "east" for _, label, patient in rows
            ],
            "split": [split for split, _, _ in rows],
            "fold": pd.factorize(pd.Series(patients))[0] % 2,
            "group_id": patients,
        }
    )
    images = ImageSet(images=pictures, labels=labels, manifest=manifest)
    return SquaresDataset(images, class_names=UNEVEN_CLASSES, dataset_hash="uneven")


def build_tiny_config(**train: object) -> Config:
    """A network of a few hundred weights and a training of seconds; with dropout, to be chancy."""
    settings = {"epochs": 3, "batch_size": 8, "accelerator": "cpu", **train}
    return Config(
        model=ModelConfig(
            preset="nano", stem="flat", stem_width=4, widths=(4, 8), depths=(1, 1), dropout=0.2
        ),
        train=TrainConfig.model_validate(settings),
    )


@pytest.fixture
def squares() -> SquaresDataset:
    return build_squares()


@pytest.fixture
def uneven() -> SquaresDataset:
    return build_uneven()


@pytest.fixture
def tiny_config() -> Callable[..., Config]:
    return build_tiny_config


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def read_history() -> Callable[[RunFolder], list[dict[str, str]]]:
    return _read_history


@pytest.fixture
def compute_digest() -> Callable[[RunFolder], str]:
    return _compute_digest


def _read_history(run: RunFolder) -> list[dict[str, str]]:
    with run.history.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _compute_digest(run: RunFolder) -> str:
    """One sum over all that two equal trainings share: everything but the seconds."""
    digest = hashlib.sha256()
    for name in ("checkpoint/weights", "resume/weights", "resume/state"):
        digest.update((run.train / f"{name}.safetensors").read_bytes())
    for row in _read_history(run):
        digest.update(str([value for name, value in row.items() if name != "seconds"]).encode())
    return digest.hexdigest()
