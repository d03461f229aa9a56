"""The kind of a file is told from its bytes."""

from __future__ import annotations

import pytest

from cxresnet.core.errors import FilmError
from cxresnet.data.image_formats import ALLOWED_FORMATS, sniff_format


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
    with pytest.raises(FilmError):
        sniff_format(b"RIFF\x24\0\0\0WAVEfmt ")


@pytest.mark.parametrize("content", [b"x", b"hello film", bytes(4096), b"<svg/>", b"#!/bin/sh\n"])
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(FilmError, match="not a picture") as caught:
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
    with pytest.raises(FilmError, match=kind) as caught:
        sniff_format(content)
    assert caught.value.code == "format-not-allowed"
