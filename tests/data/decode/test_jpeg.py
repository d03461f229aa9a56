"""What a JPEG states of itself."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.jpeg import MAX_MARKERS, MAX_SCANS, check_scans, is_sequential


def encode(**options: object) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "JPEG", **options)
    return stream.getvalue()


def repeat_last_scan(content: bytes, times: int) -> bytes:
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


def test_a_picture_of_very_many_scans_is_refused() -> None:
    content = encode(progressive=True)
    scans = content.count(b"\xff\xda")
    with pytest.raises(ImageError, match="scans") as caught:
        decode_image(repeat_last_scan(content, MAX_SCANS + 2 - scans))
    assert caught.value.code == "damaged"
    check_scans(repeat_last_scan(content, MAX_SCANS + 1 - scans))


def test_bytes_before_a_marker_hide_no_scans() -> None:
    content = repeat_last_scan(encode(progressive=True), MAX_SCANS)
    frame = content.index(b"\xff\xc2")
    with pytest.raises(ImageError, match="scans"):
        check_scans(content[:frame] + b"\0\0" + content[frame:])


@pytest.mark.parametrize("mark", [b"\xff", b"\xff\x01", b"\xff\xe0\0\2"])
def test_millions_of_marks_are_not_all_read(mark: bytes) -> None:
    start = time.process_time()
    with pytest.raises(ImageError, match="10,000 marks"):
        decode_image(b"\xff\xd8\xff\xe0\0\2" + mark * 10_000_000)
    assert time.process_time() - start < 1
    content = encode()
    filled = content[:2] + b"\xff" * (MAX_MARKERS // 2) + content[2:]
    assert is_sequential(filled)
    assert decode_image(filled).width == 64


def test_scans_of_a_thumbnail_do_not_count() -> None:
    check_scans(encode(progressive=True, exif=b"Exif\0\0" + b"\xff\xda" * 200))


def test_most_pictures_are_stored_row_by_row() -> None:
    assert is_sequential(encode())
    assert not is_sequential(encode(progressive=True))
    assert not is_sequential(b"\xff\xd8")
