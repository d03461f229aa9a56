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

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.dicom.codestream import read_codestream_size


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


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_was_cut_off_and_closed_is_refused(kit: Any, progressive: bool) -> None:
    levels = np.random.default_rng(0).integers(1, 256, (64, 80), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", progressive=progressive)
    whole = stream.getvalue()
    dataset = kit.make_dataset(levels, bits=8)
    dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    for frame, code in ((whole, ""), (whole[: len(whole) // 3] + b"\xff\xd9", "truncated")):
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
        if not code:
            assert decode_image(kit.save(dataset)).width == 80
            continue
        with pytest.raises(ImageError) as caught:
            decode_image(kit.save(dataset))
        assert caught.value.code == code
