"""A filtered, an upscaled and a re-encoded source are named; sources without traces are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from cxresnet.core.config import DataConfig
from cxresnet.core.finding import write_findings
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.report.report import render_data_report
from cxresnet.shortcuts.processing import check_image_processing


def _build(
    *,
    flat: tuple[float, float] = (0.05, 0.05),
    bandwidth: tuple[float, float] = (1.0, 1.0),
    edges: tuple[float, float] = (1.0, 1.0),
    file_format: str = "PNG",
    images: int = 10,
) -> pd.DataFrame:
    """Two sources, each with as many images; a pair of values is for the one and the other."""
    return pd.DataFrame(
        {
            "source": np.repeat(["hospital", "copy"], images),
            "file_format": file_format,
            "flat_patch_share": np.repeat(flat, images),
            "bandwidth_share": np.repeat(bandwidth, images),
            "block_edge_strength": np.repeat(edges, images),
        }
    )


def test_sources_without_traces_are_green() -> None:
    finding = check_image_processing(_build())
    assert finding is not None
    assert finding.verdict == "green"
    assert finding.title == "Filtered or re-encoded images"
    assert "No source shows signs" in finding.sentence
    assert len(finding.measures) == 6


def test_a_source_with_many_more_flat_patches_is_red_and_named_with_both_figures() -> None:
    finding = check_image_processing(_build(flat=(0.06, 0.43)))
    assert finding is not None
    assert finding.verdict == "red"
    assert finding.sentence.startswith("In the median image of copy, 43% of the patches")
    assert "against 6% in the other sources" in finding.sentence
    assert "hospital" not in finding.sentence


@pytest.mark.parametrize(
    ("flat", "verdict"),
    [
        ((0.05, 0.19), "green"),
        ((0.05, 0.20), "amber"),
        ((0.05, 0.29), "amber"),
        ((0.16, 0.30), "amber"),
        ((0.14, 0.30), "red"),
        ((0.40, 0.43), "amber"),
    ],
)
def test_red_needs_many_flat_patches_and_more_than_elsewhere(
    flat: tuple[float, float], verdict: str
) -> None:
    finding = check_image_processing(_build(flat=flat))
    assert finding is not None
    assert finding.verdict == verdict


def test_a_filtered_source_alone_is_red_too() -> None:
    images = _build(flat=(0.0, 0.43))
    finding = check_image_processing(images[images["source"] == "copy"])
    assert finding is not None
    assert finding.verdict == "red"
    assert "other sources" not in finding.sentence


def test_an_upscaled_source_is_amber() -> None:
    finding = check_image_processing(_build(bandwidth=(0.95, 0.5)))
    assert finding is not None
    assert finding.verdict == "amber"
    assert "copy holds detail only up to 50%" in finding.sentence
    assert "upscaled" in finding.sentence


def test_block_edges_are_a_sign_in_png_and_none_in_jpeg() -> None:
    finding = check_image_processing(_build(edges=(1.01, 1.2)))
    assert finding is not None
    assert finding.verdict == "amber"
    assert "100% of the PNG images of copy show the block edges of JPEG" in finding.sentence
    same = check_image_processing(_build(edges=(1.01, 1.2), file_format="JPEG"))
    assert same is not None
    assert same.verdict == "green"


def test_the_worst_sign_stands_first() -> None:
    finding = check_image_processing(_build(flat=(0.05, 0.43), bandwidth=(0.5, 1.0)))
    assert finding is not None
    assert finding.verdict == "red"
    assert finding.sentence.index("copy") < finding.sentence.index("hospital")


def test_a_handful_of_images_is_not_checked() -> None:
    assert check_image_processing(_build(images=4)) is None


def _save_phantoms(folder: Path, *, filtered: bool) -> None:
    """Save phantoms as files, half of them in a second source that may be filtered."""
    source = open_source("phantoms:images_per_class=12,side_px=96")
    rows = ["file,label,source"]
    for number, record in enumerate(source.scan().records):
        pixels = np.asarray(source.read(record.location))
        is_copy = number % 2 == 1
        if is_copy and filtered:
            coarse = ndimage.median_filter(pixels, 5)[5::10, 5::10]
            pixels = np.repeat(np.repeat(coarse, 10, axis=0), 10, axis=1)
        name = f"{record.class_name}-{number}.png"
        Image.fromarray(pixels).save(folder / name)
        rows.append(f"{name},{record.class_name},{'copy' if is_copy else 'hospital'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("filtered", [True, False])
def test_a_superpixel_filter_planted_in_phantoms_is_found(tmp_path: Path, filtered: bool) -> None:
    images = tmp_path / "images"
    images.mkdir()
    _save_phantoms(images, filtered=filtered)
    config = DataConfig(side_px=48, common_side_px=64, workers=1)
    path = run_prepare(
        open_source(str(images / "manifest.csv")), config=config, out=tmp_path / "dataset"
    ).path
    finding = check_image_processing(open_dataset(path).manifest)
    assert finding is not None
    write_findings(path, (finding,))
    assert finding.verdict == ("red" if filtered else "green")
    assert ("copy" in finding.sentence) == filtered
    page = render_data_report(open_dataset(path))
    assert ("probably filtered" in page) == filtered
    assert "Filtered or re-encoded images" in page
