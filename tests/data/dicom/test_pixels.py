"""Every way to say what is white gives the same film."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from cxresnet.data.dicom import read_dicom_film
from cxresnet.data.dicom.pixels import compute_pixels
from cxresnet.data.image import decode_film

ONE_GREY_LEVEL = 1 / 255 + 1e-6


def encode_picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_film_and_its_picture_are_the_same(kit: Any) -> None:
    levels = kit.draw_levels(8).astype(np.uint8)
    film = decode_film(kit.make_film(levels, bits=8))
    picture = decode_film(encode_picture(Image.fromarray(levels), "PNG"))
    np.testing.assert_allclose(film.pixels, picture.pixels, atol=1e-6)
    assert (film.width, film.height, film.format, film.mode) == (80, 64, "DICOM", "MONOCHROME2;8")


def test_monochrome1_is_inverted(kit: Any) -> None:
    film = read_dicom_film(
        kit.make_film(4095 - kit.draw_levels(), PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_allclose(film.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_signed_levels_run_from_their_lowest_to_their_highest(kit: Any) -> None:
    signed = (kit.draw_levels().astype(int) - 2048).astype(np.int16)
    film = read_dicom_film(kit.make_film(signed))
    np.testing.assert_allclose(film.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_rescale_without_a_window_changes_nothing_and_a_negative_slope_inverts(kit: Any) -> None:
    plain = read_dicom_film(kit.make_film(RescaleSlope="2.5", RescaleIntercept="-1024")).pixels
    np.testing.assert_allclose(plain, kit.draw_levels() / 4095, atol=1e-5)
    inverted = read_dicom_film(kit.make_film(RescaleSlope="-1", RescaleIntercept="4095")).pixels
    np.testing.assert_allclose(inverted, 1 - kit.draw_levels() / 4095, atol=1e-5)


def test_a_window_by_hand(kit: Any) -> None:
    """Centre 100, width 101: 50 or less is black, 149 is 0.99, 150 or more is white."""
    levels = np.full((8, 8), 99.0, dtype=np.uint16)
    levels[0, :5] = (0, 50, 99, 149, 150)
    film = read_dicom_film(kit.make_film(levels, WindowCenter="100", WindowWidth="101"))
    np.testing.assert_allclose(film.pixels[0, :5], (0, 0.005, 0.495, 0.995, 1), atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": "2", "RescaleIntercept": "-500"}])
def test_the_first_of_several_windows_agrees_with_pydicom(
    function: str, rescale: dict[str, str], kit: Any
) -> None:
    tags = {"WindowCenter": [1800, 300], "WindowWidth": [900, 50], "VOILUTFunction": function}
    content = kit.make_film(**tags, **rescale)
    dataset = pydicom.dcmread(io.BytesIO(content))
    expected = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    slope, intercept = (
        float(rescale.get("RescaleSlope", 1)),
        float(rescale.get("RescaleIntercept", 0)),
    )
    expected = (expected - intercept) / (slope * 4095)
    np.testing.assert_allclose(read_dicom_film(content).pixels, expected, atol=1e-4)


@pytest.mark.parametrize("width", ["0", "-5"])
def test_a_window_without_width_is_passed_over(width: str, kit: Any) -> None:
    film = read_dicom_film(kit.make_film(WindowCenter="100", WindowWidth=width))
    np.testing.assert_allclose(film.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_table_of_values_of_interest_is_applied_before_a_window(kit: Any) -> None:
    entries = np.arange(4096)[::-1] // 4
    table = kit.make_table(entries.astype(np.uint16), bits=10)
    content = kit.make_film(VOILUTSequence=[table], WindowCenter="100", WindowWidth="10")
    np.testing.assert_allclose(
        read_dicom_film(content).pixels, (4095 - kit.draw_levels()) // 4 / 1023, atol=1e-6
    )


def test_a_modality_table_is_applied(kit: Any) -> None:
    entries = np.minimum(np.arange(4096) * 16, 65535).astype(np.uint16)
    content = kit.make_film(ModalityLUTSequence=[kit.make_table(entries, bits=16)])
    np.testing.assert_allclose(
        read_dicom_film(content).pixels, kit.draw_levels() * 16.0 / 65535, atol=1e-6
    )


@pytest.mark.parametrize(("keyword", "value"), [("WindowCenter", "inf"), ("WindowWidth", "nan")])
def test_a_window_that_is_not_finite_is_passed_over(keyword: str, value: str, kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels(), WindowCenter=100, WindowWidth=50)
    dataset[keyword].value = float(value)
    np.testing.assert_allclose(compute_pixels(dataset), kit.draw_levels() / 4095, atol=1e-6)


def test_a_window_of_width_one_is_black_up_to_its_centre_less_a_half(kit: Any) -> None:
    """PS3.3 C.11.2.1.2: at centre 99.5 and width 1, 99 or less is black and 100 is white."""
    levels = np.full((8, 8), 50, dtype=np.uint16)
    levels[0, :4] = (98, 99, 100, 101)
    film = read_dicom_film(kit.make_film(levels, WindowCenter="99.5", WindowWidth="1"))
    assert film.pixels[0, :4].tolist() == [0, 0, 1, 1]


def test_a_single_padding_value_blackens_its_pixels_alone(kit: Any) -> None:
    levels = kit.draw_levels().clip(0, 3999)
    levels[:, :10] = 4000
    levels[0, :3] = (3999, 4001, 0)
    pixels = read_dicom_film(kit.make_film(levels, PixelPaddingValue=4000)).pixels
    expected = np.where(levels == 4000, 0, levels) / 4095
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_a_padding_range_may_be_given_from_its_upper_end(kit: Any) -> None:
    levels = kit.draw_levels().clip(0, 3900)
    levels[:, :10] = 4000
    tags = {"PixelPaddingValue": 4001, "PixelPaddingRangeLimit": 3999}
    assert not read_dicom_film(kit.make_film(levels, **tags)).pixels[:, :10].any()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_in_either_polarity(photometric: str, kit: Any) -> None:
    levels = kit.draw_levels()
    levels[:, :10] = 4000
    content = kit.make_film(
        levels,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=3999,
        PixelPaddingRangeLimit=4001,
    )
    pixels = read_dicom_film(content).pixels
    assert not pixels[:, :10].any()
    assert pixels[:, 10:].mean() > 0.2


def test_bits_above_those_stored_are_no_part_of_the_film(kit: Any) -> None:
    film = read_dicom_film(kit.make_film(kit.draw_levels() | 0xF000))
    np.testing.assert_allclose(film.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_secondary_capture_in_colour_becomes_grey(kit: Any) -> None:
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[0, 0], colours[0, 1], colours[0, 2] = (255, 0, 0), (0, 255, 0), (9, 9, 9)
    film = read_dicom_film(kit.make_film(colours, bits=8, Modality="OT"))
    np.testing.assert_allclose(film.pixels[0, :3], (0.299, 0.587, 9 / 255), atol=1e-6)


def test_a_palette_becomes_grey(kit: Any) -> None:
    levels = kit.draw_levels(8).astype(np.uint8)
    dataset = kit.make_dataset(
        levels, bits=8, PhotometricInterpretation="PALETTE COLOR", Modality="OT"
    )
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries)
    np.testing.assert_allclose(
        read_dicom_film(kit.save(dataset)).pixels, 1 - levels / 255, atol=ONE_GREY_LEVEL
    )
