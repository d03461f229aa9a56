"""Each trace is found where it was planted, and not found where it was not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cxresnet.data.decode.processing_traces import ProcessingTraces, measure_processing_traces


def _draw(side_px: int = 128, *, noise: float = 3.0) -> NDArray[np.uint8]:
    """Draw soft shadows with the noise of a detector."""
    generator = np.random.default_rng(0)
    shadows = ndimage.gaussian_filter(generator.normal(size=(side_px, side_px)), 12)
    levels = (
        128 + 60 * shadows / np.abs(shadows).max() + generator.normal(size=shadows.shape) * noise
    )
    return np.clip(levels, 1, 254).astype(np.uint8)


def _measure(levels: NDArray[np.uint8]) -> ProcessingTraces:
    return measure_processing_traces((levels / 255).astype(np.float32))


def test_an_image_as_the_detector_gave_it_has_no_trace() -> None:
    traces = _measure(_draw())
    assert traces.flat_patch_share < 0.01
    assert traces.bandwidth_share > 0.95
    assert traces.block_edge_strength == pytest.approx(1, abs=0.05)


def test_flat_patches_are_counted_by_hand() -> None:
    # 9 × 9 pixels hold 25 patches. Left of column 5 all is 100, right of it columns differ by 10:
    # only patches that begin in column 0 are flat, 5 of 25.
    levels = np.full((9, 9), 100, dtype=np.uint8)
    levels[:, 5:] += np.arange(10, 50, 10, dtype=np.uint8)
    assert _measure(levels).flat_patch_share == pytest.approx(5 / 25)


@pytest.mark.parametrize(("step", "flat"), [(2, 1.0), (3, 0.0)])
def test_flat_means_within_one_grey_level_of_the_middle(step: int, flat: float) -> None:
    levels = np.full((5, 5), 100, dtype=np.uint8)
    levels[0, 4] += step
    assert _measure(levels).flat_patch_share == flat


def test_black_borders_and_white_letters_are_not_flat_patches() -> None:
    levels = _draw()
    levels[:, :40] = 0
    levels[:30, 60:] = 255
    assert _measure(levels).flat_patch_share < 0.01
    levels[:, :40] = 90
    assert _measure(levels).flat_patch_share > 0.2


def test_superpixels_are_flat() -> None:
    mosaic = np.repeat(np.repeat(_draw()[::8, ::8], 8, axis=0), 8, axis=1)
    assert _measure(mosaic).flat_patch_share > 0.2


@pytest.mark.parametrize(("factor", "limit"), [(2, 0.75), (3, 0.5)])
def test_upscaled_images_lack_the_highest_frequencies(factor: int, limit: float) -> None:
    levels = _draw()
    size = (128 * factor, 128 * factor)
    upscaled = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))
    assert _measure(upscaled).bandwidth_share < limit
    stretched = np.asarray(Image.fromarray(levels).resize((128, size[1]), Image.Resampling.BICUBIC))
    assert _measure(stretched).bandwidth_share < limit


@pytest.mark.parametrize("offset", [0, 3])
def test_blocks_of_jpeg_are_found_wherever_they_begin(offset: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(_draw()).save(stream, "JPEG", quality=75)
    decoded = np.asarray(Image.open(stream))[offset:, offset:]
    assert _measure(decoded).block_edge_strength > 1.1


@pytest.mark.parametrize("shape", [(4, 40), (40, 4), (6, 6), (31, 31)])
def test_an_image_too_small_for_a_trace_has_none(shape: tuple[int, int]) -> None:
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert _measure(levels) == ProcessingTraces(
        flat_patch_share=0.0, bandwidth_share=1.0, block_edge_strength=1.0
    )
