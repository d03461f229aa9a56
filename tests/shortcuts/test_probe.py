from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxresnet.shortcuts import probe
from cxresnet.shortcuts.probe import probe_bytes, probe_header, probe_record, probe_scalars

IMAGES = 90


@pytest.fixture(autouse=True)
def _grow_small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_FOREST", replace(probe.PROBE_FOREST, trees=25))


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Thirty images a class, two of each patient; all files are alike."""
    return pd.DataFrame(
        {
            "class_name": np.repeat(["normal", "pneumonia", "covid-19"], IMAGES // 3),
            "group_id": np.arange(IMAGES) // 2,
            "file_width": 512,
            "file_height": 400,
            "file_bytes": 40_000,
            "file_format": "PNG",
            "file_mode": "L",
            "border_grey": 0.2,
            "view": "PA",
            "sex": "",
            "age_years": "",
        }
    )


def draw_noise(strengths: np.ndarray) -> np.ndarray:
    """Images around the same mean grey, each with its own strength of noise."""
    noise = np.random.default_rng(0).normal(size=(len(strengths), 32, 32))
    return np.clip(128 + noise * strengths[:, None, None], 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_files_that_are_all_alike_tell_nothing(manifest: pd.DataFrame) -> None:
    result = probe_header(manifest)
    assert result.majority_accuracy == pytest.approx(1 / 3)
    assert result.n == IMAGES
    for estimate in result.auroc.values():
        assert estimate.value is not None
        assert estimate.value <= 0.55


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("file_width", 1024),
        ("file_bytes", 90_000),
        ("file_format", "JPEG"),
        ("file_mode", "RGB"),
        ("border_grey", 0.8),
    ],
)
def test_a_planted_header_is_found(manifest: pd.DataFrame, column: str, told: object) -> None:
    manifest[column] = manifest[column].astype(object)
    manifest.loc[manifest["class_name"] == "covid-19", column] = told
    name, estimate = probe_header(manifest).highest_auroc
    assert name == "covid-19"
    assert estimate.value == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(("column", "told"), [("view", "AP"), ("sex", "F"), ("age_years", "80")])
def test_a_planted_record_is_found(manifest: pd.DataFrame, column: str, told: str) -> None:
    manifest.loc[manifest["class_name"] == "covid-19", column] = told
    result = probe_record(manifest)
    assert result is not None
    name, estimate = result.highest_auroc
    assert name == "covid-19"
    assert estimate.value == pytest.approx(1)


def test_a_record_that_says_nothing_is_not_asked(manifest: pd.DataFrame) -> None:
    assert probe_record(manifest) is None


@pytest.mark.slow
def test_planted_noise_is_found_by_bytes_and_its_absence_is_not(manifest: pd.DataFrame) -> None:
    strengths = np.where(manifest["class_name"] == "covid-19", 30.0, 10.0)
    found = probe_bytes(draw_noise(strengths), manifest)
    assert found.auroc["covid-19"].value == pytest.approx(1)
    assert (found.auroc["normal"].value or 1) < 0.85
    silent = probe_bytes(draw_noise(np.full(IMAGES, 10.0)), manifest)
    assert all((estimate.value or 1) < 0.7 for estimate in silent.auroc.values())


@pytest.mark.slow
def test_planted_tone_is_found_by_scalars(manifest: pd.DataFrame) -> None:
    images = draw_noise(np.full(IMAGES, 10.0))
    images[(manifest["class_name"] == "pneumonia").to_numpy()] += 60
    result = probe_scalars(images, manifest)
    assert result.highest_auroc[0] == "pneumonia"
    assert result.highest_auroc[1].low is not None
    assert result.highest_auroc[1].low > 0.75
    assert result.accuracy.value is not None
    assert 0.55 < result.accuracy.value < 0.9


@pytest.mark.slow
def test_a_patient_is_never_on_both_sides(manifest: pd.DataFrame) -> None:
    # Every patient has a grey of its own; only who had seen the patient could know the class.
    images = draw_noise(np.full(IMAGES, 0.1))
    greys = np.random.default_rng(1).permutation(IMAGES // 2)[manifest["group_id"]] * 2
    images[:] = greys[:, None, None]
    result = probe_scalars(images, manifest)
    assert result.accuracy.value is not None
    assert result.accuracy.value < 0.55


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(manifest: pd.DataFrame) -> None:
    images = draw_noise(np.linspace(5, 20, IMAGES))
    assert probe_bytes(images, manifest, seed=3) == probe_bytes(images, manifest, seed=3)


def test_a_class_of_one_patient_cannot_be_probed(manifest: pd.DataFrame) -> None:
    manifest.loc[manifest["class_name"] == "normal", "group_id"] = 0
    with pytest.raises(ValueError, match="one group only"):
        probe_header(manifest)
