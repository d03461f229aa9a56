from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ImageError
from cxresnet.data.prepare import preprocessing as preprocessing_module
from cxresnet.data.prepare.preprocessing import (
    GREY_STEPS,
    Preprocessing,
    build_preprocessing,
    normalise,
    prepare_image,
    prepare_mask,
    restore_to_source,
)


def make_preprocessing(**changes: object) -> Preprocessing:
    plain = {
        "side_px": 16, "common_side_px": 16, "low_percentile": 0, "high_percentile": 100,
        "equalisation_clip_limit": 1,
    }  # fmt: skip
    return build_preprocessing(DataConfig.model_validate(plain | changes))


def make_ramp(height: int, width: int) -> np.ndarray:
    """Dark left, bright right."""
    line = np.linspace(0.2, 0.6, width, dtype=np.float32)
    return np.broadcast_to(line, (height, width)).copy()


def test_an_image_of_the_right_size_is_only_stretched() -> None:
    # Levels 0.2 to 0.6 in 16 equal steps become 0 to 255 in 16 equal steps of 17.
    image = prepare_image(make_ramp(16, 16), make_preprocessing())
    assert image.dtype == np.uint8
    assert image[3].tolist() == list(range(0, 256, 17))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 90), (90, 40), (8, 9), (500, 30)])
@pytest.mark.parametrize("resize_mode", ["crop", "pad", "squash"])
def test_every_shape_becomes_the_same_square(height: int, width: int, resize_mode: str) -> None:
    preprocessing = make_preprocessing(
        resize_mode=resize_mode, side_px=24, common_side_px=32, border_cut=0.05
    )
    assert prepare_image(make_ramp(height, width), preprocessing).shape == (24, 24)
    assert prepare_mask(np.ones((height, width), dtype=np.bool_), preprocessing).shape == (24, 24)


def test_crop_keeps_the_middle_of_the_longer_side() -> None:
    pixels = np.zeros((16, 48), dtype=np.float32)
    pixels[:, 16:24] = 1  # left half of the middle third
    image = prepare_image(pixels, make_preprocessing(resize_mode="crop"))
    assert image[:, :7].min() == 255
    assert image[:, 9:].max() == 0


@pytest.mark.parametrize("border_cut", [0.0, 0.1])
def test_pad_keeps_the_whole_image_and_its_shape_between_black_bars(border_cut: float) -> None:
    preprocessing = make_preprocessing(resize_mode="pad", border_cut=border_cut)
    wide = prepare_image(make_ramp(16, 32), preprocessing)
    assert wide[:4].max() == wide[12:].max() == 0
    assert wide[4:12, -1].tolist() == [255] * 8
    tall = prepare_image(make_ramp(32, 16), preprocessing)
    assert tall[:, :4].max() == tall[:, 12:].max() == 0
    assert tall[:, 11].tolist() == [255] * 16


def test_padding_does_not_count_as_grey_levels_of_the_image() -> None:
    # With the bars counted, half of all pixels were 0 and the 25th percentile too.
    image = prepare_image(
        make_ramp(16, 32), make_preprocessing(resize_mode="pad", low_percentile=25)
    )
    assert (image[8] == 0).sum() in (4, 5)


def test_the_border_is_cut_from_each_side() -> None:
    pixels = make_ramp(20, 20)
    pixels[:2] = pixels[-2:] = pixels[:, :2] = pixels[:, -2:] = 1.0
    image = prepare_image(pixels, make_preprocessing(border_cut=0.1))
    assert image[0].tolist() == list(range(0, 256, 17))


def test_exposure_and_contrast_of_an_image_do_not_matter() -> None:
    pixels = np.random.default_rng(0).random((60, 50), dtype=np.float32)
    preprocessing = make_preprocessing(low_percentile=1, high_percentile=99)
    image = prepare_image(pixels, preprocessing).astype(int)
    other = prepare_image(pixels * 0.3 + 0.4, preprocessing).astype(int)
    assert np.abs(image - other).max() <= 1


def test_a_larger_copy_gives_the_same_image() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    larger = pixels.repeat(4, axis=0).repeat(4, axis=1)
    preprocessing = make_preprocessing(common_side_px=16)
    difference = prepare_image(pixels, preprocessing).astype(int) - prepare_image(
        larger, preprocessing
    )
    assert np.abs(difference).max() <= 2


def test_even_levels_stay_as_they_are() -> None:
    image = prepare_image(make_ramp(16, 16), make_preprocessing(equalisation_clip_limit=3))
    assert np.abs(image[3].astype(int) - np.arange(0, 256, 17)).max() <= 8


def test_equalising_spreads_levels_evenly_and_keeps_their_order() -> None:
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    preprocessing = make_preprocessing(side_px=64, common_side_px=64)
    dark = prepare_image(pixels**2, preprocessing)
    even = prepare_image(
        pixels**2, preprocessing.model_copy(update={"equalisation_clip_limit": 10.0})
    )
    assert np.median(dark) < 70
    assert abs(np.median(even) - 128) < 8
    order = np.argsort(pixels.ravel())
    assert (np.diff(even.ravel()[order].astype(int)) >= 0).all()


def test_equalising_raises_no_contrast_above_its_limit() -> None:
    # Nine tenths of the image lie within a hundredth of the scale: fully evened out, they would be
    # spread over nine tenths of it.
    generator = np.random.default_rng(0)
    pixels = generator.random((64, 64), dtype=np.float32)
    flat = generator.random((64, 64)) < 0.9
    pixels[flat] = 0.5 + 0.01 * pixels[flat]
    preprocessing = make_preprocessing(side_px=64, common_side_px=64)
    before, limited, free = (
        int(
            np.ptp(
                prepare_image(
                    pixels, preprocessing.model_copy(update={"equalisation_clip_limit": limit})
                )[flat]
            )
        )
        for limit in (1.0, 2.0, 100.0)
    )
    # Half of 255 times 0.01 is 2.55 levels; twice that, and rounding.
    assert before <= 3
    assert limited <= 6
    assert free > 60


def test_a_mask_stays_on_its_image() -> None:
    inside = np.zeros((300, 400), dtype=np.bool_)
    inside[60:200, 110:260] = True
    preprocessing = make_preprocessing(side_px=64, common_side_px=96, border_cut=0.05)
    image = prepare_image(inside.astype(np.float32), preprocessing)
    mask = prepare_mask(inside, preprocessing)
    assert set(np.unique(mask)) == {0, 255}
    assert ((image >= 128) == (mask == 255)).mean() > 0.999


def test_an_empty_mask_stays_empty() -> None:
    assert prepare_mask(np.zeros((30, 30), dtype=np.bool_), make_preprocessing()).max() == 0


def test_an_image_that_is_blank_inside_its_border_is_refused() -> None:
    pixels = np.full((40, 40), 0.5, dtype=np.float32)
    pixels[0] = 1.0
    with pytest.raises(ImageError, match="one grey level only") as caught:
        prepare_image(pixels, make_preprocessing(border_cut=0.1))
    assert caught.value.code == "blank"


def test_normalising_gives_mean_zero_and_sd_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8)).astype(np.uint8)
    measured = {"mean": float((images / 255).mean()), "sd": float((images / 255).std())}
    scaled = normalise(images, make_preprocessing().model_copy(update=measured))
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)


def test_normalising_before_measuring_is_refused() -> None:
    with pytest.raises(ValueError, match="not measured"):
        normalise(np.zeros((2, 2), dtype=np.uint8), make_preprocessing())


def test_the_road_is_saved_and_loaded_unchanged_and_refuses_strange_keys() -> None:
    preprocessing = make_preprocessing()
    assert Preprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(preprocessing.model_dump() | {"blur": 1})


def test_a_new_grey_step_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def invert(content: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        assert preprocessing.side_px == 16
        return np.float32(1) - content

    plain = prepare_image(make_ramp(16, 16), make_preprocessing())
    monkeypatch.setattr(preprocessing_module, "GREY_STEPS", [*GREY_STEPS, invert])
    assert (prepare_image(make_ramp(16, 16), make_preprocessing()) == 255 - plain).all()


def test_the_defaults_change_nothing_and_a_dark_pixel_stays_black() -> None:
    needed = {
        name: getattr(make_preprocessing(), name)
        for name, field in Preprocessing.model_fields.items()
        if field.is_required()
    }
    plain = Preprocessing(**needed, mean=0.5, sd=0.25)
    assert (plain.mean, plain.sd, plain.spectrum_strength) == (0.5, 0.25, 0.0)
    content = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    equalised = preprocessing_module.equalise_histogram(
        content, make_preprocessing(equalisation_clip_limit=4)
    )
    assert equalised.min() == 0
    assert equalised.max() == pytest.approx(1)


@pytest.mark.parametrize("missing", ["mean", "sd"])
def test_half_of_the_statistics_is_none(missing: str) -> None:
    half = make_preprocessing().model_copy(update={"mean": 0.5, "sd": 0.25} | {missing: None})
    with pytest.raises(ValueError, match="mean"):
        normalise(np.zeros((2, 2), np.uint8), half)


def test_mean_and_sd_of_the_training_images_are_those_worked_out_by_hand() -> None:
    # One pixel in four is white: mean 1/4, variance 1/4 · 3/4.
    counts = np.bincount([0, 0, 0, 255], minlength=256)
    found = preprocessing_module.complete_preprocessing(make_preprocessing(), counts)
    assert found.mean == pytest.approx(0.25)
    assert found.sd == pytest.approx(0.1875**0.5)


@pytest.mark.parametrize("resize_mode", ["crop", "pad", "squash"])
@pytest.mark.parametrize(("height", "width"), [(40, 40), (64, 40), (40, 64), (1203, 800)])
def test_values_come_back_to_where_they_were_in_the_image(
    height: int, width: int, resize_mode: str
) -> None:
    preprocessing = make_preprocessing(
        resize_mode=resize_mode, side_px=32, common_side_px=32, border_cut=0.05
    )
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for positions, length in ((rows, height), (columns, width)):
        content = preprocessing_module._crop_to_common(positions / length, preprocessing)
        square = np.full((32, 32), 9, dtype=np.float32)
        shrunk = preprocessing_module._shrink(content, preprocessing)
        top, left = (32 - shrunk.shape[0]) // 2, (32 - shrunk.shape[1]) // 2
        square[top : top + shrunk.shape[0], left : left + shrunk.shape[1]] = shrunk
        back = restore_to_source(square, preprocessing, width=width, height=height)
        kept = back != 0
        middle = slice(height // 4, -height // 4), slice(width // 4, -width // 4)
        assert kept[middle].all()
        assert back.max() < 1, "something of the bars came in"
        wrong = np.abs(back - positions / length)[middle]
        assert wrong.max() < 0.02
        assert back[0, 0] == 0, "the border was cut off"
