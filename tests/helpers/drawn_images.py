"""A dataset of phantoms in memory, and a context of an audit around it: nothing is prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from cxresnet.audit.context import AuditContext
from cxresnet.core.config import Config
from cxresnet.core.config.config import change_config
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.phantoms.draw import draw_phantom
from cxresnet.data.phantoms.plan import PhantomSettings, plan_phantoms
from cxresnet.data.prepare.preprocessing import Preprocessing

CLASS_NAMES = ("normal", "pneumonia", "covid-19")
SPLITS = ("train", "val", "test")


def _build_record() -> Any:
    return SimpleNamespace(config=SimpleNamespace(external_test=False), name="drawn")


@dataclass(frozen=True, eq=False)
class DrawnDataset:
    """What the audit asks of a `PreparedDataset`."""

    sets: dict[str, ImageSet]
    path: Path = Path("drawn")
    dataset_hash: str = "drawn"
    class_names: tuple[str, ...] = CLASS_NAMES
    record: Any = field(default_factory=_build_record)

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(
            side_px=self.sets["train"].images.shape[1],
            common_side_px=64,
            resize_mode="crop",
            low_percentile=1,
            high_percentile=99,
            border_cut=0,
        )

    def select(self, split: str) -> ImageSet:
        return self.sets[split]


@dataclass(frozen=True)
class UnaskedModel:
    """A model whose architecture alone is looked at."""

    name: str = "unasked"
    class_names: tuple[str, ...] = CLASS_NAMES
    content: str = "unasked"
    predictor: Any = "ours"
    network: Any = None

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.full((len(images), len(self.class_names)), 1 / len(self.class_names))


def build_set(
    images: np.ndarray,
    labels: np.ndarray,
    patients: Sequence[int],
    *,
    lungs: np.ndarray | None = None,
    first: int = 0,
) -> ImageSet:
    """Build a set of images; `lungs`, (images, side, side), above 0 inside."""
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{first + number:04}" for number in range(len(images))],
            "class_name": [CLASS_NAMES[label] for label in labels],
            "source": ["north" if patient % 2 else "south" for patient in patients],
            "group_id": list(patients),
            "lung_mask_row": range(len(images)),
        }
    )
    return ImageSet(images, np.asarray(labels, dtype=np.int64), manifest, _lung_masks=lungs)


def split_in_three(
    images: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    *,
    lungs: np.ndarray | None = None,
) -> dict[str, ImageSet]:
    """Split by patient: three in five learn, one validates, one tests."""
    part = np.array([0, 1, 0, 2, 0])[patients % 5]
    sets = {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(part == number)
        sets[split] = build_set(
            images[rows],
            labels[rows],
            patients[rows].tolist(),
            lungs=None if lungs is None else lungs[rows],
            first=int((part < number).sum()),
        )
    return sets


def draw_phantom_sets(settings: PhantomSettings) -> dict[str, ImageSet]:
    """Draw phantoms as they are, without `prepare`."""
    plans = plan_phantoms(settings)
    drawn = [draw_phantom(plan, settings) for plan in plans]
    names = sorted({plan.patient_id for plan in plans})
    return split_in_three(
        np.stack([one.pixels for one in drawn]),
        np.array([CLASS_NAMES.index(plan.class_name) for plan in plans]),
        np.array([names.index(plan.patient_id) for plan in plans]),
        lungs=np.stack([one.lung_mask for one in drawn]),
    )


def build_context(
    sets: dict[str, ImageSet], folder: Path, *, model: Any = None, **values: object
) -> AuditContext:
    """Build the context of an audit; `values` are keys of the config with "__" for the point."""
    changes = {key.replace("__", "."): value for key, value in values.items()}
    return AuditContext(
        model=model or UnaskedModel(),
        dataset=DrawnDataset(sets),
        test=sets["test"],
        settings=change_config(Config(), changes),
        folder=folder,
    )
