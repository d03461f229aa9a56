"""The page in a browser: how long it is, and whether it fits a phone."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import ModelConfig
from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.record import Evaluation
from cxresnet.evaluate.selective import SelectiveResult
from cxresnet.explain.record import Attributions
from cxresnet.explain.sanity.record import SanityCard
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.report.artifacts import DatasetArtifacts, RunArtifacts
from cxresnet.report.report import render_report

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]

SCREENS, SCREEN_PX = 15, 900


def _repeat(attributions: Attributions, count: int) -> Attributions:
    """Repeat images and maps, with as many methods as `explain` has by default."""
    index = attributions.index
    (method,) = index.methods
    names = ("occlusion", "b", "c", "d")
    tiles = (count // len(index.images), 1, 1)
    return dataclasses.replace(
        attributions,
        index=index.model_copy(
            update={
                "images": index.images * tiles[0],
                "methods": tuple(method.model_copy(update={"name": name}) for name in names),
            }
        ),
        images=np.tile(attributions.images, tiles),
        lung_masks=np.tile(attributions.lung_masks, tiles),
        maps={name: np.tile(attributions.maps["occlusion"], tiles) for name in names},
    )


@pytest.fixture
def trained(history: pd.DataFrame, checkpoint_record: CheckpointRecord) -> RunArtifacts:
    model = build_model(ModelConfig(preset="nano"), class_count=3)
    return RunArtifacts(name="run", model=model, record=checkpoint_record, history=history)


@pytest.fixture
def page(
    tmp_path: Path,
    trained: RunArtifacts,
    dataset_artifacts: DatasetArtifacts,
    evaluation: Evaluation,
    attributions: Attributions,
    sanity_card: SanityCard,
    beside: tuple[SelectiveResult, LeaveSourcesOut, ExternalTest],
) -> Path:
    artifacts = dataclasses.replace(
        trained,
        folder=tmp_path,
        dataset_artifacts=dataset_artifacts,
        evaluation=evaluation,
        selective=beside[0],
        left_out=beside[1],
        externals=(beside[2],),
        attributions=_repeat(attributions, 18),
        sanity=sanity_card,
    )
    path = tmp_path / "report.html"
    path.write_text(render_report(artifacts), encoding="utf-8")
    return path


@pytest.fixture
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


def _measure(browser: Any, page: Path, *, width: int) -> tuple[int, int]:
    """Measure the width and height of the whole page, with all details closed."""
    tab = browser.new_page(viewport={"width": width, "height": SCREEN_PX})
    tab.goto(page.as_uri())
    root = "document.documentElement"
    size = tab.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]")
    tab.close()
    return int(size[0]), int(size[1])


def test_the_page_is_short_and_does_not_scroll_sideways(browser: Any, page: Path) -> None:
    width, height = _measure(browser, page, width=1280)
    assert width == 1280
    assert height <= SCREENS * SCREEN_PX
    assert _measure(browser, page, width=390)[0] == 390
