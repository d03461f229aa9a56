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
from cxresnet.data.dataset import FilmSet
from cxresnet.data.preprocess import Preprocessing

SIDE_PX = 16
PREPROCESSING = Preprocessing(
    side_px=SIDE_PX,
    common_side_px=SIDE_PX,
    fit="crop",
    low_percentile=1,
    high_percentile=99,
    border_cut=0,
    mean=0.3,
    sd=0.25,
)


@dataclass(frozen=True)
class SquaresDataset:
    """What `run_train` asks of a `PreparedDataset`."""

    films: FilmSet
    class_names: tuple[str, ...] = ("left", "right")
    dataset_hash: str = "squares"
    preprocessing: Preprocessing = PREPROCESSING
    verdict: str = "Verdict on the data: GREEN."

    @property
    def manifest(self) -> pd.DataFrame:
        return self.films.manifest

    def select(self, split: str) -> FilmSet:
        return self._take((self.films.manifest["split"] == split).to_numpy())

    def select_fold(self, fold: int, role: str) -> FilmSet:
        folds = self.films.manifest["fold"].to_numpy()
        return self._take(folds == fold if role == "val" else (folds != fold) & (folds >= 0))

    def _take(self, chosen: np.ndarray) -> FilmSet:
        return FilmSet(
            films=self.films.films[chosen],
            labels=self.films.labels[chosen],
            manifest=self.films.manifest[chosen].reset_index(drop=True),
        )


def build_squares(*, films: int = 72, seed: int = 0) -> SquaresDataset:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, films)
    pictures = generator.integers(0, 120, (films, SIDE_PX, SIDE_PX)).astype(np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        left = 2 if label == 0 else 10
        picture[5:11, left : left + 4] = 220
    numbers = np.arange(films)
    manifest = pd.DataFrame(
        {
            "image_id": [f"film-{number:03}" for number in numbers],
            "class_name": np.where(labels == 0, "left", "right"),
            "patient_id": [f"patient-{number:03}" for number in numbers],
            "source": np.where(numbers % 4 == 0, "east", "west"),
            "split": np.where(numbers % 3 == 2, "val", "train"),
            "fold": numbers % 4,
            "group_id": [f"group-{number:03}" for number in numbers],
        }
    )
    return SquaresDataset(FilmSet(films=pictures, labels=labels, manifest=manifest))


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
