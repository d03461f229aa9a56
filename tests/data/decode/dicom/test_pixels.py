"""Every way to say what is white gives the same image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, uid
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.dicom import read_dicom_image
from cxresnet.data.decode.dicom.pixels import check_readable, compute_pixels

ONE_GREY_LEVEL = 1 / 255 + 1e-6


def encode_picture(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_an_image_and_its_picture_are_the_same(kit: Any) -> None:
    levels = kit.draw_levels(8).astype(np.uint8)
    image = decode_image(kit.make_image(levels, bits=8))
    picture = decode_image(encode_picture(Image.fromarray(levels), "PNG"))
    np.testing.assert_allclose(image.pixels, picture.pixels, atol=1e-6)
    assert (image.width, image.height, image.format, image.mode) == (
        80,
        64,
        "DICOM",
        "MONOCHROME2;8",
    )


@pytest.mark.parametrize("extra", [1, 2, 80 * 2, 64 * 80 * 2, 64 * 80 * 4])
def test_more_pixel_data_than_the_header_says_is_refused(extra: int, kit: Any) -> None:
    """They would be read as several frames, and those as colours of another image."""
    dataset = kit.make_dataset(kit.draw_levels())
    dataset.PixelData += bytes(extra)
    with pytest.raises(ImageError, match="have another size than Rows") as caught:
        read_dicom_image(kit.save(dataset))
    assert caught.value.code == "damaged"


def test_one_byte_that_makes_the_length_even_is_no_part_of_the_image(kit: Any) -> None:
    levels = kit.draw_levels(8, height=9, width=11).astype(np.uint8)
    dataset = kit.make_dataset(levels, bits=8)
    dataset.PixelData += b"\0"
    assert read_dicom_image(kit.save(dataset)).pixels.shape == (9, 11)


@pytest.mark.parametrize(
    ("samples", "interpretation"), [(3, "MONOCHROME2"), (3, "PALETTE COLOR"), (1, "RGB")]
)
def test_samples_that_contradict_the_photometric_interpretation_are_refused(
    samples: int, interpretation: str, kit: Any
) -> None:
    levels = np.repeat(kit.draw_levels(8).astype(np.uint8)[:, :, None], samples, axis=2)
    dataset = kit.make_dataset(levels if samples > 1 else levels[:, :, 0], bits=8)
    dataset.PhotometricInterpretation = interpretation
    with pytest.raises(ImageError) as caught:
        read_dicom_image(kit.save(dataset))
    assert caught.value.code == "damaged"


def test_monochrome1_is_inverted(kit: Any) -> None:
    image = read_dicom_image(
        kit.make_image(4095 - kit.draw_levels(), PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_signed_levels_run_from_their_lowest_to_their_highest(kit: Any) -> None:
    signed = (kit.draw_levels().astype(int) - 2048).astype(np.int16)
    image = read_dicom_image(kit.make_image(signed))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_rescale_without_a_window_changes_nothing_and_a_negative_slope_inverts(kit: Any) -> None:
    plain = read_dicom_image(kit.make_image(RescaleSlope="2.5", RescaleIntercept="-1024")).pixels
    np.testing.assert_allclose(plain, kit.draw_levels() / 4095, atol=1e-5)
    inverted = read_dicom_image(kit.make_image(RescaleSlope="-1", RescaleIntercept="4095")).pixels
    np.testing.assert_allclose(inverted, 1 - kit.draw_levels() / 4095, atol=1e-5)


def test_a_rescale_of_signed_levels_without_a_window_changes_nothing(kit: Any) -> None:
    signed = (kit.draw_levels().astype(int) - 2048).astype(np.int16)
    image = read_dicom_image(kit.make_image(signed, RescaleSlope="2.5", RescaleIntercept="7"))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-5)


def test_a_size_beyond_the_limit_is_refused_before_the_pixels_are_looked_at(kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels())
    dataset.Rows = dataset.Columns = 60_000
    with pytest.raises(ImageError) as caught:
        check_readable(dataset)
    assert caught.value.code == "too-large"


def test_a_window_by_hand(kit: Any) -> None:
    """Centre 100, width 101: 50 or less is black, 149 is 0.99, 150 or more is white."""
    levels = np.full((8, 8), 99.0, dtype=np.uint16)
    levels[0, :5] = (0, 50, 99, 149, 150)
    image = read_dicom_image(kit.make_image(levels, WindowCenter="100", WindowWidth="101"))
    np.testing.assert_allclose(image.pixels[0, :5], (0, 0.005, 0.495, 0.995, 1), atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": "2", "RescaleIntercept": "-500"}])
def test_the_first_of_several_windows_agrees_with_pydicom(
    function: str, rescale: dict[str, str], kit: Any
) -> None:
    tags = {"WindowCenter": [3500, 300], "WindowWidth": [5200, 50], "VOILUTFunction": function}
    content = kit.make_image(**tags, **rescale)
    dataset = pydicom.dcmread(io.BytesIO(content))
    expected = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    slope, intercept = (
        float(rescale.get("RescaleSlope", 1)),
        float(rescale.get("RescaleIntercept", 0)),
    )
    expected = (expected - intercept) / (slope * 4095)
    np.testing.assert_allclose(read_dicom_image(content).pixels, expected, atol=1e-4)


@pytest.mark.parametrize("width", ["0", "-5"])
def test_a_window_without_width_is_passed_over(width: str, kit: Any) -> None:
    image = read_dicom_image(kit.make_image(WindowCenter="100", WindowWidth=width))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_table_of_values_of_interest_is_applied_before_a_window(kit: Any) -> None:
    entries = np.arange(4096)[::-1] // 4
    table = kit.make_table(entries.astype(np.uint16), bits=10)
    content = kit.make_image(VOILUTSequence=[table], WindowCenter="100", WindowWidth="10")
    np.testing.assert_allclose(
        read_dicom_image(content).pixels, (4095 - kit.draw_levels()) // 4 / 1023, atol=1e-6
    )


def test_a_modality_table_is_applied(kit: Any) -> None:
    entries = np.minimum(np.arange(4096) * 16, 65535).astype(np.uint16)
    content = kit.make_image(ModalityLUTSequence=[kit.make_table(entries, bits=16)])
    np.testing.assert_allclose(
        read_dicom_image(content).pixels, kit.draw_levels() * 16.0 / 65535, atol=1e-6
    )


@pytest.mark.parametrize(("keyword", "value"), [("WindowCenter", "inf"), ("WindowWidth", "nan")])
def test_a_window_that_is_not_finite_is_passed_over(keyword: str, value: str, kit: Any) -> None:
    dataset = kit.make_dataset(kit.draw_levels(), WindowCenter=100, WindowWidth=50)
    dataset[keyword].value = float(value)
    np.testing.assert_allclose(compute_pixels(dataset).pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_window_of_width_one_is_black_up_to_its_centre_less_a_half(kit: Any) -> None:
    """PS3.3 C.11.2.1.2: at centre 99.5 and width 1, 99 or less is black and 100 is white."""
    levels = np.tile(np.array([98, 99, 100, 101], dtype=np.uint16), (8, 2))
    image = read_dicom_image(kit.make_image(levels, WindowCenter="99.5", WindowWidth="1"))
    assert image.pixels[0, :4].tolist() == [0, 0, 1, 1]


def test_a_single_padding_value_blackens_its_pixels_alone(kit: Any) -> None:
    levels = kit.draw_levels().clip(0, 3999)
    levels[:, :10] = 4000
    levels[0, :3] = (3999, 4001, 0)
    pixels = read_dicom_image(kit.make_image(levels, PixelPaddingValue=4000)).pixels
    expected = np.where(levels == 4000, 0, levels) / 4095
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_a_padding_range_may_be_given_from_its_upper_end(kit: Any) -> None:
    levels = kit.draw_levels().clip(0, 3900)
    levels[:, :10] = 4000
    tags = {"PixelPaddingValue": 4001, "PixelPaddingRangeLimit": 3999}
    assert not read_dicom_image(kit.make_image(levels, **tags)).pixels[:, :10].any()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_in_either_polarity(photometric: str, kit: Any) -> None:
    levels = kit.draw_levels()
    levels[:, :10] = 4000
    content = kit.make_image(
        levels,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=3999,
        PixelPaddingRangeLimit=4001,
    )
    pixels = read_dicom_image(content).pixels
    assert not pixels[:, :10].any()
    assert pixels[:, 10:].mean() > 0.2


def test_bits_above_those_stored_are_no_part_of_the_image(kit: Any) -> None:
    image = read_dicom_image(kit.make_image(kit.draw_levels() | 0xF000))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)


def test_a_secondary_capture_in_colour_becomes_grey(kit: Any) -> None:
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[0, 0], colours[0, 1], colours[0, 2] = (255, 0, 0), (0, 255, 0), (9, 9, 9)
    image = read_dicom_image(kit.make_image(colours, bits=8, Modality="OT"))
    np.testing.assert_allclose(image.pixels[0, :3], (0.299, 0.587, 9 / 255), atol=1e-6)


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
        read_dicom_image(kit.save(dataset)).pixels, 1 - levels / 255, atol=ONE_GREY_LEVEL
    )


# Tables as scanners write them


def test_a_table_of_eight_bit_entries_has_as_many_places_as_it_says(kit: Any) -> None:
    entries = ((np.arange(4096) / 4095) ** 0.5 * 255).astype(np.uint16)
    content = kit.make_image(VOILUTSequence=[kit.make_table(entries, bits=8)])
    expected = entries[kit.draw_levels()] / 255
    np.testing.assert_allclose(read_dicom_image(content).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(("highest", "bits"), [(4095, 16), (4095, 8), (255, 12), (65535, 12)])
def test_a_table_wider_or_narrower_than_it_says_is_scaled_by_its_own_range(
    highest: int, bits: int, keyword: str, kit: Any
) -> None:
    entries = np.round(np.arange(4096) / 4095 * highest).astype(np.uint16)
    content = kit.make_image(**{keyword: [kit.make_table(entries, bits=bits)]})
    expected = entries[kit.draw_levels()] / highest
    np.testing.assert_allclose(read_dicom_image(content).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("packed", [True, False])
def test_entries_of_eight_bits_may_be_packed_into_words_or_not(
    packed: bool, keyword: str, kit: Any
) -> None:
    entries = np.arange(255, -1, -1, dtype=np.uint8)
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [256, 0, 8])
    table.add_new("LUTData", "OW", (entries if packed else entries.astype("<u2")).tobytes())
    levels = kit.draw_levels(8).astype(np.uint8)
    pixels = read_dicom_image(kit.make_image(levels, bits=8, **{keyword: [table]})).pixels
    np.testing.assert_allclose(pixels, 1 - levels / 255, atol=1e-6)


def test_a_modality_table_of_twelve_bits_is_read(kit: Any) -> None:
    entries = np.arange(4095, -1, -1, dtype=np.uint16)
    content = kit.make_image(ModalityLUTSequence=[kit.make_table(entries, bits=12)])
    expected = 1 - kit.draw_levels() / 4095
    np.testing.assert_allclose(read_dicom_image(content).pixels, expected, atol=1e-6)


def test_the_first_level_of_a_table_has_the_sign_of_the_levels(kit: Any) -> None:
    """-2048 written as US 63488."""
    signed = (kit.draw_levels().astype(int) - 2048).astype(np.int16)
    table = kit.make_table(np.arange(4095, -1, -1, dtype=np.uint16), bits=12)
    table["LUTDescriptor"].value = [4096, 2**16 - 2048, 12]
    content = kit.make_image(signed, VOILUTSequence=[table])
    expected = 1 - kit.draw_levels() / 4095
    np.testing.assert_allclose(read_dicom_image(content).pixels, expected, atol=1e-6)


def test_levels_outside_of_a_table_take_its_ends(kit: Any) -> None:
    table = kit.make_table(np.array([1000, 2000, 4095], dtype=np.uint16), bits=12)
    table["LUTDescriptor"].value = [3, 100, 12]
    levels = np.tile(np.array([0, 100, 101, 4000], dtype=np.uint16), (8, 2))
    pixels = read_dicom_image(kit.make_image(levels, VOILUTSequence=[table])).pixels
    expected = np.array([1000, 1000, 2000, 4095]) / 4095
    np.testing.assert_allclose(pixels[0, :4], expected, atol=1e-6)


def test_a_table_without_entries_is_passed_over_for_the_next_and_for_the_window(kit: Any) -> None:
    empty = Dataset()
    table = kit.make_table(np.arange(4095, -1, -1, dtype=np.uint16), bits=12)
    image = read_dicom_image(kit.make_image(VOILUTSequence=[empty, table]))
    np.testing.assert_allclose(image.pixels, 1 - kit.draw_levels() / 4095, atol=1e-6)
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    image = read_dicom_image(kit.make_image(VOILUTSequence=[empty], **window))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-3)
    assert [note for note in image.notes if "VOILUTSequence (0028,3010)" in note]


# Bits


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_bits_below_those_stored_are_no_part_of_the_image(
    syntax: uid.UID, signed: bool, kit: Any
) -> None:
    """12 bits from bit 15 down, with whatever below them."""
    levels = kit.draw_levels().astype(np.int32) - 2048 * signed
    raw = ((levels << 4) | 5).astype(np.int16 if signed else np.uint16)
    dataset = kit.make_dataset(raw, HighBit=15)
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    pixels = read_dicom_image(kit.save(dataset)).pixels
    np.testing.assert_allclose(pixels, kit.draw_levels() / 4095, atol=1e-6)


@pytest.mark.parametrize("high_bit", [0, 10, 16, 99])
def test_a_high_bit_that_cannot_be_is_passed_over(high_bit: int, kit: Any) -> None:
    pixels = read_dicom_image(kit.make_image(HighBit=high_bit)).pixels
    np.testing.assert_allclose(pixels, kit.draw_levels() / 4095, atol=1e-6)


# Padding


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_of_signed_levels_written_without_its_sign_is_black(
    photometric: str, kit: Any
) -> None:
    """-2000 written as US 63536."""
    signed = (kit.draw_levels().astype(int) - 2048).clip(-1990).astype(np.int16)
    signed[:, :10] = -2000
    dataset = kit.make_dataset(signed, PhotometricInterpretation=photometric)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    pixels = read_dicom_image(kit.save(dataset)).pixels
    inside = (signed[:, 10:].astype(int) + 2048) / 4095
    assert not pixels[:, :10].any()
    expected = 1 - inside if photometric == "MONOCHROME1" else inside
    np.testing.assert_allclose(pixels[:, 10:], expected, atol=1e-6)


def test_padding_is_no_reason_to_mistrust_a_window(kit: Any) -> None:
    """Two thirds of the image are padding, which the window would make white."""
    levels = kit.draw_levels().clip(1000, 3000)
    levels[:, :54] = 4000
    tags = {"PixelPaddingValue": 4000, "WindowCenter": "2000", "WindowWidth": "2001"}
    image = read_dicom_image(kit.make_image(levels, **tags))
    assert image.notes == ()
    assert not image.pixels[:, :54].any()
    expected = (levels[:, 54:].astype(float) - 1999.5) / 2000 + 0.5
    np.testing.assert_allclose(image.pixels[:, 54:], expected.clip(0, 1), atol=1e-5)


# Tags about the display that nobody can follow


def write_raw(content: bytes, before: str, after: str) -> bytes:
    """Write in the file what pydicom would not write."""
    assert len(before) == len(after)
    assert content.count(before.encode()) == 1
    return content.replace(before.encode(), after.encode())


def test_a_decimal_comma_is_a_decimal_point(kit: Any) -> None:
    tags = {"WindowCenter": "2148.5", "WindowWidth": "3296.5", "RescaleSlope": "1.75"}
    content = kit.make_image(**tags, RescaleIntercept="-1024")
    right = read_dicom_image(content)
    for number in tags.values():
        content = write_raw(content, number, number.replace(".", ","))
    image = read_dicom_image(content)
    np.testing.assert_array_equal(image.pixels, right.pixels)
    assert image.notes == right.notes == ()


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth"])
def test_a_window_in_words_is_passed_over_with_a_note(keyword: str, kit: Any) -> None:
    tags = {"WindowCenter": "2048", "WindowWidth": "4095"} | {keyword: "987654"}
    image = read_dicom_image(write_raw(kit.make_image(**tags), "987654", "NORMAL"))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)
    (note,) = image.notes
    assert "WindowCenter (0028,1050)" in note
    assert "NORMAL" not in note


def test_of_several_windows_the_first_that_can_be_read_counts(kit: Any) -> None:
    tags = {"WindowCenter": ["987654", "2048"], "WindowWidth": ["100", "4096"]}
    image = read_dicom_image(write_raw(kit.make_image(**tags), "987654", "NORMAL"))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-3)
    assert image.notes == ()


def test_a_slope_in_words_leaves_the_levels_and_the_window_out(kit: Any) -> None:
    tags = {"RescaleSlope": "987654", "RescaleIntercept": "0", "WindowCenter": "9e8"}
    content = kit.make_image(**tags, WindowWidth="1e7")
    image = read_dicom_image(write_raw(content, "987654", "SLOPE "))
    np.testing.assert_allclose(image.pixels, kit.draw_levels() / 4095, atol=1e-6)
    assert [note for note in image.notes if note.startswith("RescaleSlope (0028,1053)")]


@pytest.mark.parametrize(("centre", "side"), [(300, "white"), (3800, "black")])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_that_loses_more_than_half_of_the_image_is_passed_over(
    centre: int, side: str, photometric: str, kit: Any
) -> None:
    tags = {"WindowCenter": str(centre), "WindowWidth": "200"}
    image = read_dicom_image(kit.make_image(**tags, PhotometricInterpretation=photometric))
    expected = kit.draw_levels() / 4095
    if photometric == "MONOCHROME1":
        expected = 1 - expected
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    (note,) = image.notes
    assert side in note


def test_a_window_is_followed_where_the_image_itself_is_half_black(kit: Any) -> None:
    levels = kit.draw_levels().clip(1000)
    levels[:, :60] = 0
    image = read_dicom_image(kit.make_image(levels, WindowCenter="2500", WindowWidth="3001"))
    assert image.notes == ()
    expected = (levels[:, 60:] - 1000) / 3000
    np.testing.assert_allclose(image.pixels[:, 60:], expected.clip(0, 1), atol=1e-3)


def test_a_window_of_eight_bits_is_followed_whatever_it_does(kit: Any) -> None:
    levels = kit.draw_levels(8).astype(np.uint8)
    image = read_dicom_image(kit.make_image(levels, bits=8, WindowCenter="20", WindowWidth="20"))
    assert (image.pixels == 1).mean() > 0.5
    assert image.notes == ()


# PresentationLUTShape: the photometric interpretation decides alone.


@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_photometric_interpretation_decides_whatever_the_shape_says(
    photometric: str, shape: str, kit: Any
) -> None:
    image = read_dicom_image(
        kit.make_image(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    )
    levels = kit.draw_levels() / 4095
    expected = 1 - levels if photometric == "MONOCHROME1" else levels
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    agrees = (photometric == "MONOCHROME1") == (shape == "INVERSE")
    assert len(image.notes) == (not agrees)
