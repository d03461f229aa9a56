from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import FilmError
from cxresnet.data.preprocess import (
    Preprocessing,
    build_preprocessing,
    normalise,
    prepare_film,
    prepare_mask,
)


def make_road(**changes: object) -> Preprocessing:
    plain = {
        "side_px": 16, "common_side_px": 16, "low_percentile": 0, "high_percentile": 100,
        "equalise_limit": 1,
    }  # fmt: skip
    return build_preprocessing(DataConfig.model_validate(plain | changes))


def make_ramp(height: int, width: int) -> np.ndarray:
    """Dark left, bright right."""
    line = np.linspace(0.2, 0.6, width, dtype=np.float32)
    return np.broadcast_to(line, (height, width)).copy()


def test_a_film_of_the_right_size_is_only_stretched() -> None:
    # Levels 0.2 to 0.6 in 16 equal steps become 0 to 255 in 16 equal steps of 17.
    film = prepare_film(make_ramp(16, 16), make_road())
    assert film.dtype == np.uint8
    assert film[3].tolist() == list(range(0, 256, 17))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 90), (90, 40), (8, 9), (500, 30)])
@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_every_shape_becomes_the_same_square(height: int, width: int, fit: str) -> None:
    road = make_road(fit=fit, side_px=24, common_side_px=32, border_cut=0.05)
    assert prepare_film(make_ramp(height, width), road).shape == (24, 24)
    assert prepare_mask(np.ones((height, width), dtype=np.bool_), road).shape == (24, 24)


def test_crop_keeps_the_middle_of_the_longer_side() -> None:
    pixels = np.zeros((16, 48), dtype=np.float32)
    pixels[:, 16:24] = 1  # left half of the middle third
    film = prepare_film(pixels, make_road(fit="crop"))
    assert film[:, :7].min() == 255
    assert film[:, 9:].max() == 0


def test_pad_keeps_the_whole_film_between_black_bars() -> None:
    pixels = make_ramp(16, 32)
    film = prepare_film(pixels, make_road(fit="pad"))
    assert film[:4].max() == film[12:].max() == 0
    assert film[8, -1] == 255


def test_padding_does_not_count_as_grey_levels_of_the_film() -> None:
    # With the bars counted, half of all pixels were 0 and the 25th percentile too.
    film = prepare_film(make_ramp(16, 32), make_road(fit="pad", low_percentile=25))
    assert (film[8] == 0).sum() in (4, 5)


def test_the_border_is_cut_from_each_side() -> None:
    pixels = make_ramp(20, 20)
    pixels[:2] = pixels[-2:] = pixels[:, :2] = pixels[:, -2:] = 1.0
    film = prepare_film(pixels, make_road(border_cut=0.1))
    assert film[0].tolist() == list(range(0, 256, 17))


def test_exposure_and_contrast_of_a_film_do_not_matter() -> None:
    pixels = np.random.default_rng(0).random((60, 50), dtype=np.float32)
    road = make_road(low_percentile=1, high_percentile=99)
    film = prepare_film(pixels, road).astype(int)
    other = prepare_film(pixels * 0.3 + 0.4, road).astype(int)
    assert np.abs(film - other).max() <= 1


def test_a_larger_copy_gives_the_same_film() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    larger = pixels.repeat(4, axis=0).repeat(4, axis=1)
    road = make_road(common_side_px=16)
    difference = prepare_film(pixels, road).astype(int) - prepare_film(larger, road)
    assert np.abs(difference).max() <= 2


def test_even_levels_stay_as_they_are() -> None:
    film = prepare_film(make_ramp(16, 16), make_road(equalise_limit=3))
    assert np.abs(film[3].astype(int) - np.arange(0, 256, 17)).max() <= 8


def test_equalising_spreads_levels_evenly_and_keeps_their_order() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    road = make_road(side_px=64, common_side_px=64)
    dark = prepare_film(pixels**2, road)
    even = prepare_film(pixels**2, road.model_copy(update={"equalise_limit": 10.0}))
    assert np.median(dark) < 70
    assert abs(np.median(even) - 128) < 8
    order = np.argsort(pixels.ravel())
    assert (np.diff(even.ravel()[order].astype(int)) >= 0).all()


def test_equalising_raises_no_contrast_above_its_limit() -> None:
    # Nine tenths of the film lie within a hundredth of the scale: fully evened out, they would be
    # spread over nine tenths of it.
    generator = np.random.default_rng(0)
    pixels = generator.random((64, 64), dtype=np.float32)
    flat = generator.random((64, 64)) < 0.9
    pixels[flat] = 0.5 + 0.01 * pixels[flat]
    road = make_road(side_px=64, common_side_px=64)
    before, limited, free = (
        int(np.ptp(prepare_film(pixels, road.model_copy(update={"equalise_limit": limit}))[flat]))
        for limit in (1.0, 2.0, 100.0)
    )
    # Half of 255 times 0.01 is 2.55 levels; twice that, and rounding.
    assert before <= 3
    assert limited <= 6
    assert free > 60


def test_a_mask_stays_on_its_film() -> None:
    inside = np.zeros((300, 400), dtype=np.bool_)
    inside[60:200, 110:260] = True
    road = make_road(side_px=64, common_side_px=96, border_cut=0.05)
    film = prepare_film(inside.astype(np.float32), road)
    mask = prepare_mask(inside, road)
    assert set(np.unique(mask)) == {0, 255}
    assert ((film >= 128) == (mask == 255)).mean() > 0.999


def test_an_empty_mask_stays_empty() -> None:
    assert prepare_mask(np.zeros((30, 30), dtype=np.bool_), make_road()).max() == 0


def test_a_film_that_is_blank_inside_its_border_is_refused() -> None:
    pixels = np.full((40, 40), 0.5, dtype=np.float32)
    pixels[0] = 1.0
    with pytest.raises(FilmError, match="one grey level only") as caught:
        prepare_film(pixels, make_road(border_cut=0.1))
    assert caught.value.code == "blank"


def test_normalising_gives_mean_zero_and_sd_one() -> None:
    films = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    measured = {"mean": float((films / 255).mean()), "sd": float((films / 255).std())}
    scaled = normalise(films, make_road().model_copy(update=measured))
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)


def test_normalising_before_measuring_is_refused() -> None:
    with pytest.raises(ValueError, match="not measured"):
        normalise(np.zeros((2, 2), dtype=np.uint8), make_road())


def test_the_road_is_saved_and_loaded_unchanged_and_refuses_strange_keys() -> None:
    road = make_road()
    assert Preprocessing.model_validate_json(road.model_dump_json()) == road
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(road.model_dump() | {"blur": 1})
