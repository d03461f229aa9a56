"""Pictures that were cut off and closed again."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.completeness import check_complete
from cxresnet.data.decode.decoder import decode_image

NOISE = np.random.default_rng(0).integers(1, 256, (64, 48), dtype=np.uint8)


def pack_png(rows: bytes, *, bits: int = 8, kind: int = 0, interlaced: bool = False) -> bytes:
    """A PNG of 48 × 64 pixels with whatever rows are given, each after its filter byte."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 48, 64, bits, kind, 0, 0, interlaced)
    packed = zlib.compress(rows)
    half = len(packed) // 2
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, body)
        for name, body in (
            (b"IHDR", header), (b"IDAT", packed[:half]), (b"IDAT", packed[half:]), (b"IEND", b"")
        )
    )  # fmt: skip


def list_rows(levels: NDArray[np.generic]) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in levels)


def list_interlaced_rows(levels: NDArray[np.uint8]) -> bytes:
    passes = (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
        (0, 1, 1, 2),
    )  # fmt: skip
    return b"".join(list_rows(levels[y::down, x::across]) for x, y, across, down in passes)


def encode_jpeg(levels: NDArray[np.uint8], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", **options)
    return stream.getvalue()


def refuse(content: bytes) -> str:
    with pytest.raises(ImageError, match=r"\.$") as caught:
        decode_image(content)
    return caught.value.code


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_png_with_fewer_rows_than_it_states_is_refused(share: float) -> None:
    rows = list_rows(NOISE)
    assert refuse(pack_png(rows[: int(len(rows) * share)])) == "truncated"
    deep = list_rows(NOISE.astype(">u2") * 256)
    assert refuse(pack_png(deep[: int(len(deep) * share)], bits=16)) == "truncated"
    colours = list_rows(np.repeat(NOISE, 3, axis=1))
    assert refuse(pack_png(colours[: int(len(colours) * share)], kind=2)) == "truncated"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_an_interlaced_png_with_fewer_rows_than_it_states_is_refused(share: float) -> None:
    rows = list_interlaced_rows(NOISE)
    assert refuse(pack_png(rows[: int(len(rows) * share)], interlaced=True)) == "truncated"


def test_a_whole_png_is_read_whatever_its_last_rows_hold() -> None:
    black_below = NOISE.copy()
    black_below[20:] = 0
    for levels in (NOISE, black_below):
        for content in (
            pack_png(list_rows(levels)),
            pack_png(list_interlaced_rows(levels), interlaced=True),
        ):
            np.testing.assert_allclose(decode_image(content).pixels, levels / 255, atol=1e-6)
        deep = decode_image(pack_png(list_rows(levels.astype(">u2") * 257), bits=16))
        np.testing.assert_allclose(deep.pixels, levels / 255, atol=1e-6)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_a_jpeg_that_was_cut_off_and_closed_is_refused(progressive: bool, colour: bool) -> None:
    levels = np.repeat(NOISE[:, :, None], 3, axis=2) if colour else NOISE
    content = encode_jpeg(levels, progressive=progressive)
    start = content.index(b"\xff\xda")
    for length in (40, 120):
        assert refuse(content[: start + length] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("colour", [False, True])
def test_a_progressive_jpeg_that_lacks_a_part_of_any_scan_is_refused(colour: bool) -> None:
    """All scans began, so that it was read: a little blurred, or with other details."""
    colours = np.dstack([NOISE, NOISE[::-1], NOISE[:, ::-1]])
    content = encode_jpeg(colours if colour else NOISE, progressive=True)
    scans = list(re.finditer(rb"\xff\xda\0(.).*?(?=\xff[^\0])", content, re.DOTALL))
    assert len(scans) == (10 if colour else 6)
    for scan in scans:
        data = scan.start() + 2 + scan[1][0]
        for cut in (data, (data + scan.end()) // 2, scan.end() - 2):
            assert refuse(content[:cut] + content[scan.end() :]) == "truncated"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_a_whole_jpeg_of_any_kind_is_read(options: dict[str, object]) -> None:
    for levels in (NOISE, np.dstack([NOISE] * 3), np.full((64, 48), 128, np.uint8)):
        for quality in (30, 95):
            content = encode_jpeg(levels, quality=quality, **options)
            for whole in (content, content + b"behind it", content[:-2] + b"\xff\xff\xd9"):
                check_complete(load(whole), whole)


def load(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def test_a_whole_jpeg_is_read_though_it_ends_in_the_level_that_stands_for_no_data() -> None:
    grey_below = NOISE.copy()
    grey_below[40:] = 128
    colours = np.repeat(grey_below[:, :, None], 3, axis=2)
    for levels in (grey_below, colours):
        for progressive in (False, True):
            content = encode_jpeg(levels, quality=95, progressive=progressive)
            assert decode_image(content).pixels.shape == (64, 48)


def test_a_jpeg_that_was_cut_off_is_refused_whatever_follows_it() -> None:
    whole = encode_jpeg(NOISE)
    cut = whole[: len(whole) // 2] + b"\xff\xd9"
    assert refuse(cut + b"more" + b"\xff\xd9") == "truncated"
    assert refuse(cut + whole) == "truncated"
    progressive = encode_jpeg(NOISE, progressive=True)
    third = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 2)
    assert refuse(progressive[:third] + b"\xff\xd9" + progressive) == "truncated"


def test_bytes_that_belong_to_no_marker_hide_nothing_of_a_jpeg() -> None:
    whole = encode_jpeg(NOISE, progressive=True)
    frame, first = whole.index(b"\xff\xc2"), whole.index(b"\xff\xda")
    longer = whole[:frame] + b"\0\0\0" + whole[frame:]
    assert decode_image(longer).width == 48
    assert refuse(longer[: first + 40] + b"\xff\xd9") == "truncated"


def test_a_jpeg_with_further_pictures_behind_it_is_examined_like_any_other() -> None:
    stream, picture = io.BytesIO(), Image.fromarray(NOISE)
    picture.save(stream, "MPO", save_all=True, append_images=[picture])
    whole = stream.getvalue()
    assert decode_image(whole).width == 48
    start = whole.index(b"\xff\xda")
    assert refuse(whole[: start + 900] + b"\xff\xd9" + whole[start + 902 :]) == "truncated"


def test_a_png_that_states_two_sizes_is_refused() -> None:
    whole = pack_png(list_rows(NOISE))
    small = whole[8:16] + struct.pack(">II", 8, 8) + whole[24:29]
    small += struct.pack(">I", zlib.crc32(small[4:]))
    assert refuse(whole[:8] + small + whole[8:]) == "damaged"
