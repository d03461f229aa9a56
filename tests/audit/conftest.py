"""A small drawn dataset on which two toy models are right for different reasons, and its audit.

Both the grey of the lungs and a square in the upper left corner show the class. `LungModel` reads
the first alone, `CornerModel` the second alone: each is right on every image, and an audit must
tell them apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext
from cxresnet.audit.model import AuditedModel, Images, Probabilities
from cxresnet.core.config import Config, DataConfig
from cxresnet.core.config.audit import AuditConfig
from cxresnet.core.files import compute_sha256
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
from cxresnet.explain.lungs import ImageLungs, split_lungs

CLASS_NAMES = ("normal", "pneumonia", "covid-19")
SIDE_PX = 48
CORNER_PX = 8
LUNG_GREYS = (50.0, 90.0, 130.0)
CORNER_GREYS = (20.0, 100.0, 180.0)
PATIENTS = {"train": 48, "val": 24, "test": 60}


def draw_lungs(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the mask of two lungs, somewhat different in every image: (side, side), 0 or 255."""
    rows, columns = np.indices((SIDE_PX, SIDE_PX))
    middle = 26 + generator.uniform(-2, 2)
    height, width = generator.uniform(13, 16), generator.uniform(5.5, 7.5)
    mask = np.zeros((SIDE_PX, SIDE_PX), bool)
    for column in (15, 33):
        across = column + generator.uniform(-1, 1)
        mask |= ((rows - middle) / height) ** 2 + ((columns - across) / width) ** 2 < 1
    return mask.astype(np.uint8) * 255


def draw_image(
    label: int, lungs: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw an image whose lungs and whose upper left corner show the class."""
    image = np.full((SIDE_PX, SIDE_PX), 180.0)
    image[lungs > 0] = LUNG_GREYS[label]
    image[:CORNER_PX, :CORNER_PX] = CORNER_GREYS[label]
    image += generator.normal(0, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _read_grey(values: NDArray[np.float64], greys: Sequence[float]) -> Probabilities:
    """Read a mean grey as probabilities: the nearest level is the likeliest class."""
    logits = -(((values[:, None] - np.array(greys)) / 20) ** 2)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class ToyModel:
    """A model that can be worked out by hand; its children say what it looks at."""

    name: str = "toy"
    class_names: tuple[str, ...] = CLASS_NAMES
    content: str = "toy"
    predictor: Any = None
    network: Any = None

    def predict(self, images: Images) -> Probabilities:
        raise NotImplementedError

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        raise NotImplementedError

    def compute_features(self, images: Images) -> NDArray[np.float32] | None:
        return None


@dataclass(frozen=True)
class LungModel(ToyModel):
    """Looks at the mean grey inside the lungs only: where all drawn images have lungs."""

    name: str = "lungs"
    core: tuple[slice, slice] = field(default=(slice(20, 34), slice(13, 17)))

    def predict(self, images: Images) -> Probabilities:
        return _read_grey(np.asarray(images)[:, *self.core].mean(axis=(1, 2)), LUNG_GREYS)


@dataclass(frozen=True)
class CornerModel(ToyModel):
    """Looks at the upper left corner only."""

    name: str = "corner"

    def predict(self, images: Images) -> Probabilities:
        corner = np.asarray(images)[:, :CORNER_PX, :CORNER_PX]
        return _read_grey(corner.mean(axis=(1, 2)), CORNER_GREYS)


def _write_dataset(folder: Path) -> PreparedDataset:
    """Write a dataset of one image a patient, of three classes and two sources."""
    generator = np.random.default_rng(11)
    splits = [split for split, count in PATIENTS.items() for _ in range(count)]
    count = len(splits)
    labels = [number % 3 for number in range(count)]
    masks = np.stack([draw_lungs(generator) for _ in range(count)])
    images = np.stack(
        [draw_image(label, mask, generator) for label, mask in zip(labels, masks, strict=True)]
    )
    texts = {name: [""] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "str"}
    whole = {name: [-1] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "int64"}
    measured = {name: [0.5] * count for name, kind in MANIFEST_COLUMNS.items() if kind == "float64"}
    manifest = build_manifest(
        {
            **texts,
            **whole,
            **measured,
            "image_id": [f"image-{row}.png" for row in range(count)],
            "class_name": [CLASS_NAMES[label] for label in labels],
            "patient_id": [f"patient-{row}" for row in range(count)],
            "source": [("north", "south")[row // 3 % 2] for row in range(count)],
            "view": [("PA", "AP")[row // 6 % 2] for row in range(count)],
            "sex": [("F", "M")[row // 12 % 2] for row in range(count)],
            "age_years": [str(20 + row * 7 % 60) for row in range(count)],
            "split": splits,
            "group_id": list(range(count)),
            "cluster_id": list(range(count)),
            "lung_mask_row": list(range(count)),
            "pixels_sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
        }
    )
    folder.mkdir(parents=True)
    write_manifest(folder / MANIFEST_NAME, manifest)
    np.save(folder / IMAGES_NAME, images)
    np.save(folder / LUNG_MASKS_NAME, masks)
    start_access_log(folder / ACCESS_LOG_NAME)
    names = (MANIFEST_NAME, IMAGES_NAME, LUNG_MASKS_NAME)
    files = {name: compute_sha256(folder / name) for name in names}
    config = DataConfig(side_px=SIDE_PX)
    record = DatasetRecord(
        name="toys",
        source="drawn",
        class_names=CLASS_NAMES,
        images=ImageCounts(scanned=count, rejected=0, conflicting=0, kept=count),
        counts={},
        patients_unknown_share=0.0,
        preprocessing=build_preprocessing(config).model_copy(update={"mean": 0.6, "sd": 0.2}),
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
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Sixty test images of as many patients, and others to train on; only to be read."""
    return _write_dataset(tmp_path_factory.mktemp("toys") / "dataset")


BuildAudit = Callable[..., AuditContext]


@pytest.fixture
def build_audit(toy_dataset: PreparedDataset, tmp_path: Path) -> BuildAudit:
    """Build the audit of a model on the drawn test images; the lung finder is not run.

    Called with the model, and with keys of the section `audit` of the config.
    """

    def build(model: AuditedModel, **config: object) -> AuditContext:
        request = AccessRequest(reason="audit", run="toy", network="", config="c")
        test = toy_dataset.open_held_out_test(request)
        known = {
            f"lungs {row}": ImageLungs(*split_lungs(_require(test.lung_mask(row))), "dataset")
            for row in range(len(test))
        }
        settings = {"bootstrap_resamples": 200, "seed": 1, **config}
        return AuditContext(
            model=model,
            dataset=toy_dataset,
            test=test,
            settings=Config(audit=AuditConfig.model_validate(settings)),
            folder=tmp_path / "audit",
            _shared=known,
        )

    return build


def _require(mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    assert mask is not None
    return mask


@pytest.fixture
def lung_model() -> LungModel:
    """Looks at the lungs only."""
    return LungModel()


@pytest.fixture
def corner_model() -> CornerModel:
    """Looks at the upper left corner only."""
    return CornerModel()
