"""A compressed picture's own size, against those who wrote it."""

from __future__ import annotations

import io
import struct
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.dicom import read_dicom_image
from cxresnet.data.decode.dicom.pixels import compute_pixels, read_codestream_size


def encode(kind: str, *, width: int = 80, height: int = 64, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, height), 7).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "frame",
    [
        encode("JPEG"),
        encode("JPEG", progressive=True),
        encode("JPEG", comment="a comment before the frame"),
        encode("JPEG2000", no_jp2=True),
        encode("JPEG2000"),
        encode("JPEG").replace(b"\xff\xc0", b"\xff\xff\xff\xc0", 1),
    ],
)
def test_what_pillow_writes_states_its_size(frame: bytes) -> None:
    assert read_codestream_size(frame) == (80, 64)


@pytest.mark.parametrize("name", ["JPEGLSLossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_what_gdcm_writes_states_its_size(name: str, kit: Any, tmp_path: Any) -> None:
    image = kit.change_syntax(kit.make_image(), getattr(gdcm.TransferSyntax, name), tmp_path)
    dataset = pydicom.dcmread(io.BytesIO(image))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert read_codestream_size(frame) == (80, 64)


def test_the_offset_of_a_jpeg_2000_picture_is_no_part_of_it() -> None:
    """From (3, 5) to (83, 69): 80 × 64."""
    segment = struct.pack(">HHIIII", 41, 0, 83, 69, 3, 5)
    assert read_codestream_size(b"\xff\x4f\xff\x51" + segment) == (80, 64)


@pytest.mark.parametrize(
    "frame",
    [b"", b"\xff\xd8", b"RLE", encode("JPEG")[:20], b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xda" * 9],
)
def test_what_states_no_size_has_none(frame: bytes) -> None:
    assert read_codestream_size(frame) is None


@pytest.mark.parametrize("size", [(79, 64), (80, 65), (60_000, 60_000)])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_picture_of_another_size_than_the_header_says_is_refused(
    size: tuple[int, int], kind: str, kit: Any
) -> None:
    options = {} if kind == "JPEG" else {"no_jp2": True}
    frame = encode(kind, **options)
    for given, claimed in zip((64, 80), size[::-1], strict=True):
        width = 2 if kind == "JPEG" else 4
        frame = frame.replace(given.to_bytes(width, "big"), claimed.to_bytes(width, "big"), 1)
    syntax = uid.JPEGBaseline8Bit if kind == "JPEG" else uid.JPEG2000Lossless
    with pytest.raises(ImageError, match="another size") as caught:
        decode_image(kit.encapsulate(frame, syntax, bits=8))
    assert caught.value.code == "damaged"


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 400), ("Rows", 63), ("Columns", 79)])
@pytest.mark.parametrize("name", ["JPEGLSLossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_a_header_that_lies_about_the_size_is_refused(
    name: str, keyword: str, value: int, kit: Any, tmp_path: Any
) -> None:
    """GDCM would abort on more rows, and shear the image on fewer columns."""
    image = kit.change_syntax(kit.make_image(), getattr(gdcm.TransferSyntax, name), tmp_path)
    dataset = pydicom.dcmread(io.BytesIO(image))
    setattr(dataset, keyword, value)
    with pytest.raises(ImageError, match="another size"):
        decode_image(kit.save(dataset))


def test_an_image_in_several_fragments_is_read(kit: Any) -> None:
    levels = kit.draw_levels(8).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG2000", no_jp2=True)
    dataset = kit.make_dataset(levels, bits=8)
    dataset.PixelData = encapsulate([stream.getvalue()], fragments_per_frame=3)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.JPEG2000Lossless
    image = decode_image(kit.save(dataset))
    np.testing.assert_allclose(image.pixels, levels / 255, atol=1e-6)


# Every way to say what is white gives the same image.


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
    tags = {"WindowCenter": [1800, 300], "WindowWidth": [900, 50], "VOILUTFunction": function}
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
    np.testing.assert_allclose(compute_pixels(dataset), kit.draw_levels() / 4095, atol=1e-6)


def test_a_window_of_width_one_is_black_up_to_its_centre_less_a_half(kit: Any) -> None:
    """PS3.3 C.11.2.1.2: at centre 99.5 and width 1, 99 or less is black and 100 is white."""
    levels = np.full((8, 8), 50, dtype=np.uint16)
    levels[0, :4] = (98, 99, 100, 101)
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
