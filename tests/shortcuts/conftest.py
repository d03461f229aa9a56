"""Image sets drawn in memory: nothing here needs `prepare`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cxresnet.data.dataset.dataset import ImageSet

CLASS_NAMES = ("normal", "pneumonia", "covid-19")
SIDE_PX = 32
SPLITS = {"train": slice(0, 36), "val": slice(36, 54)}
COUNT = 78


def _draw_image_sets(*, seed: int = 0, **columns: list[object]) -> dict[str, ImageSet]:
    """Draw images whose brightness predicts the class, two a patient, from two sources."""
    generator = np.random.default_rng(seed)
    numbers = np.arange(COUNT)
    brightness = 40 * ((numbers // 2) % len(CLASS_NAMES))
    images = generator.normal(90, 25, size=(COUNT, SIDE_PX, SIDE_PX)) + brightness[:, None, None]
    images = images.clip(0, 255).astype(np.uint8)
    manifest = pd.DataFrame(
        {
            "image_id": [f"image-{seed}-{number}" for number in numbers],
            "class_name": [CLASS_NAMES[(number // 2) % 3] for number in numbers],
            "source": ["north" if number % 4 < 2 else "south" for number in numbers],
            "view": ["PA" if number % 3 else "AP" for number in numbers],
            "sex": "",
            "age_years": [str(20 + number % 60) for number in numbers],
            "file_width": 600 + numbers % 5,
            "file_height": 500,
            "file_bytes": 9000 + numbers % 7,
            "file_format": "PNG",
            "file_mode": "L",
            **columns,
        }
    )
    labels = np.array([CLASS_NAMES.index(name) for name in manifest["class_name"]])
    return {
        split: ImageSet(
            images=images[rows],
            labels=labels[rows],
            manifest=manifest[rows].reset_index(drop=True),
        )
        for split, rows in SPLITS.items()
    }


@pytest.fixture
def draw_image_sets() -> Callable[..., dict[str, ImageSet]]:
    return _draw_image_sets
