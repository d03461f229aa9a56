"""The kind of a file is told from its bytes."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.formats import ALLOWED_FORMATS, sniff_format, to_grey


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"BM\x36", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WEBP"),
        (b"\x89PNG\r\n\x1a\n" + bytes(120) + b"DICM", "DICOM"),
        (b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100", "DICOM"),
        (b"\0\x08\0\x05CS\0\x0aISO_IR 100", "DICOM"),
    ],
)
def test_an_allowed_kind_is_told(content: bytes, kind: str) -> None:
    assert sniff_format(content) == kind
    assert kind in ALLOWED_FORMATS


def test_sound_in_a_riff_file_is_no_webp() -> None:
    with pytest.raises(ImageError):
        sniff_format(b"RIFF\x24\0\0\0WAVEfmt ")


@pytest.mark.parametrize("content", [b"x", b"hello image", bytes(4096), b"<svg/>", b"#!/bin/sh\n"])
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="not an image") as caught:
        sniff_format(content)
    assert caught.value.code == "not-an-image"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GIF89a" + bytes(20), "GIF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"PK\x03\x04" + bytes(20), "ZIP"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"SIMPLE  =                    T", "FITS"),
    ],
)
def test_a_kind_that_is_not_allowed_is_refused_by_name(content: bytes, kind: str) -> None:
    with pytest.raises(ImageError, match=kind) as caught:
        sniff_format(content)
    assert caught.value.code == "format-not-allowed"


# Grey levels by hand, one rule a mode.


ONE_GREY_LEVEL = 1 / 255 + 1e-6


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    levels = np.zeros((8, 8), dtype=np.uint16)
    levels[0, :4] = (256, 4095, 32768, 65535)
    pixels = to_grey(Image.fromarray(levels))
    np.testing.assert_allclose(
        pixels[0, :4], np.array((256, 4095, 32768, 65535)) / 65535, atol=1e-6
    )


def test_colour_becomes_grey_by_rec_601_luma() -> None:
    colours = np.zeros((8, 8, 3), dtype=np.uint8)
    colours[0, 0], colours[0, 1], colours[0, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    pixels = to_grey(Image.fromarray(colours))
    np.testing.assert_allclose(pixels[0, :3], (0.299, 0.587, 0.114), atol=ONE_GREY_LEVEL)


def test_alpha_is_laid_on_black() -> None:
    levels = np.full((8, 8, 4), 200, dtype=np.uint8)
    levels[:, :, 3] = 255
    levels[0, 0, 3], levels[0, 1, 3] = 0, 51  # clear; one fifth: 200 / 5 = 40
    pixels = to_grey(Image.fromarray(levels))
    np.testing.assert_allclose(pixels[0, :3] * 255, (0, 40, 200), atol=0.01)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_of_0_everywhere_does_not_make_an_image_blank(mode: str) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = Image.fromarray(grey).convert(mode)
    image.putalpha(0)
    np.testing.assert_allclose(to_grey(image) * 255, grey, atol=0.01)


def test_a_bmp_of_32_bits_with_empty_alpha_is_read() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    levels = np.dstack([grey, grey, grey, np.zeros_like(grey)])[::-1].tobytes()
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    header = struct.pack("<IiiHHIIiiII", 108, 8, 8, 1, 32, 3, 256, 0, 0, 0, 0) + masks
    start = 14 + 108
    content = struct.pack("<2sIHHI", b"BM", start + 256, 0, 0, start) + header.ljust(108, b"\0")
    image = decode_image(content + levels)
    assert image.mode == "RGBA"
    np.testing.assert_allclose(image.pixels * 255, grey, atol=0.01)


def test_a_palette_with_a_clear_entry_is_laid_on_black() -> None:
    image = Image.fromarray(np.eye(8, dtype=np.uint8), "P")
    image.putpalette([255, 255, 255, 128, 128, 128])
    image.info["transparency"] = 0
    pixels = to_grey(image)
    np.testing.assert_allclose(pixels, np.eye(8) * 128 / 255, atol=1e-6)


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(np.eye(9) > 0)
    np.testing.assert_array_equal(to_grey(image), np.eye(9))


def test_not_a_number_is_black_and_infinity_is_white() -> None:
    levels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    levels[0, :3] = (np.nan, np.inf, -np.inf)
    pixels = to_grey(Image.fromarray(levels))
    np.testing.assert_array_equal(pixels[0, :3], (0, 1, 0))
    np.testing.assert_allclose(pixels[1:], levels[1:])


def test_nothing_but_not_a_number_is_black() -> None:
    assert not to_grey(Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32))).any()


def test_whole_numbers_of_32_bits_run_from_their_lowest_to_their_highest() -> None:
    levels = np.array([[-50, 0], [50, 150]], dtype=np.int32)
    np.testing.assert_allclose(to_grey(Image.fromarray(levels)), [[0, 0.25], [0.5, 1]])


def test_floats_within_zero_and_one_stay() -> None:
    levels = np.array([[0.2, 0.4]], dtype=np.float32)
    np.testing.assert_array_equal(to_grey(Image.fromarray(levels)), levels)


def test_an_orientation_beyond_eight_means_upright() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    image.getexif()[0x0112] = 77
    np.testing.assert_allclose(to_grey(image) * 255, np.arange(64).reshape(8, 8), atol=1e-4)


def test_an_exif_block_that_cannot_be_read_means_upright() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    image.info["exif"] = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(to_grey(image) * 255, np.arange(64).reshape(8, 8), atol=1e-4)
