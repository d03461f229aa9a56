"""Images of different sharpness come out alike, and what lies where stays there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft, ndimage

from cxresnet.data.prepare.spectrum import standardise_spectrum

SIDE = 64


def make_image(seed: int = 0) -> NDArray[np.float32]:
    """Noise whose amplitude falls with frequency, as that of photographs does; 0 to 1."""
    cycles = np.hypot(*np.mgrid[:SIDE, :SIDE]) / 2
    noise = np.random.default_rng(seed).normal(size=(SIDE, SIDE))
    image = fft.idctn(noise / np.maximum(cycles, 1) ** 1.7, norm="ortho")
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def sharpen(image: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = ndimage.gaussian_filter(image, 1.0)
    return np.clip(image + (image - blurred), 0, 1)


def measure_fine_power(image: NDArray[np.float32]) -> float:
    """Mean log power between 8 and 24 cycles an image."""
    cycles = np.hypot(*np.mgrid[:SIDE, :SIDE]) / 2
    power = fft.dctn(image.astype(np.float64), norm="ortho") ** 2
    return float(np.log(power[(cycles > 8) & (cycles < 24)] + 1e-9).mean())


def test_a_sharpened_and_a_blurred_copy_come_out_about_equally_sharp() -> None:
    image = make_image()
    copies = [sharpen(image), ndimage.gaussian_filter(image, 0.7)]

    before = [measure_fine_power(copy) for copy in copies]
    after = [measure_fine_power(standardise_spectrum(copy, strength=1)) for copy in copies]

    assert before[0] - before[1] > 1
    assert abs(after[0] - after[1]) < 0.25


def test_half_the_strength_goes_part_of_the_way() -> None:
    image = sharpen(make_image())
    powers = [measure_fine_power(standardise_spectrum(image, strength=s)) for s in (0.01, 0.5, 1)]

    assert powers[0] > powers[1] > powers[2] or powers[0] < powers[1] < powers[2]


def test_what_is_bright_stays_bright_where_it_was() -> None:
    image = make_image(3)
    even = standardise_spectrum(sharpen(image), strength=1)

    assert np.corrcoef(image.ravel(), even.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(64, 40), (17, 64)])
def test_any_shape_stays_and_levels_run_from_0_to_1(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    even = standardise_spectrum(image, strength=1)

    assert even.shape == shape
    assert even.dtype == np.float32
    assert (float(even.min()), float(even.max())) == (0.0, 1.0)


def test_a_mirrored_image_gives_the_mirrored_result() -> None:
    image = make_image(5)

    np.testing.assert_allclose(
        standardise_spectrum(image[:, ::-1], strength=1),
        standardise_spectrum(image, strength=1)[:, ::-1],
        atol=1e-5,
    )


def test_an_image_of_one_grey_comes_back_as_it_is() -> None:
    grey = np.full((32, 32), 0.4, dtype=np.float32)

    assert np.array_equal(standardise_spectrum(grey, strength=1), grey)
