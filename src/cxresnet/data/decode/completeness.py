"""Find pictures whose data end too early, which their decoder fills up without a word.

A PNG or JPEG may be cut off and closed again, so that it looks whole. What is missing is black in
a PNG and mid-grey in a JPEG; only pictures that end so are examined. A progressive JPEG is blurred:
each is examined, and its scans are counted up.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.jpeg import insert_after_scans, is_progressive, lacks_scans

_JPEG_FORMATS = ("JPEG", "MPO")
"""MPO is what Pillow calls a JPEG with further pictures behind it, as many cameras write."""
_BLOCK_PX = 8
_FILL_LEVELS = (127, 128)
_PNG_HEADER = struct.Struct(">IIBBxxB")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_INFLATE_STEP_BYTES = 2**20
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
"""First column, first row, step of columns, step of rows of each pass of an interlaced PNG."""


def check_complete(image: Image.Image, content: bytes) -> None:
    """Refuse a picture with fewer rows than it states.

    Args:
        image: Loaded.
        content: The file that it comes from.

    Raises:
        ImageError: "truncated"; "damaged" if a PNG states two sizes.
    """
    missing = (image.format == "PNG" and _lacks_rows_png(image, content)) or (
        image.format in _JPEG_FORMATS and _lacks_rows_jpeg(image, content)
    )
    if missing:
        raise ImageError(
            "truncated",
            f"The {image.format} file holds less than it states. Download it again.",
        )


# PNG: the rows are counted in the unpacked data.


def _lacks_rows_png(image: Image.Image, content: bytes) -> bool:
    width, height, bits, kind, interlaced = _PNG_HEADER.unpack_from(content, 16)
    if (width, height) != image.size:
        raise ImageError("damaged", "The PNG file states two sizes. Save it again.")
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    if not interlaced and np.asarray(last_row).any():
        return False
    bits *= _SAMPLES.get(kind, 1)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    expected = sum(_count_bytes(width, height, bits, *each) for each in passes)
    return _count_unpacked(content, most=expected) < expected


def _count_bytes(
    width: int, height: int, bits: int, left: int, top: int, across: int, down: int
) -> int:
    """Count the bytes of one pass: each row has one for its filter."""
    columns, rows = -((left - width) // across), -((top - height) // down)
    return rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0


def _count_unpacked(content: bytes, *, most: int) -> int:
    """Count what the chunks of image data unpack to, up to a limit."""
    inflater, size = zlib.decompressobj(), 0
    for packed in _list_image_data(content):
        rest: bytes | memoryview = packed
        while rest and size < most and not inflater.eof:
            size += len(inflater.decompress(rest, _INFLATE_STEP_BYTES))
            rest = inflater.unconsumed_tail
    return size + len(inflater.flush()) if not inflater.eof and size < most else size


def _list_image_data(content: bytes) -> Iterator[memoryview]:
    """List the bodies of the chunks that hold image data."""
    view, place = memoryview(content), 8
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"IDAT":
            yield view[place + 8 : place + 8 + length]
        place += 12 + length


# JPEG: bytes added to complete data change nothing; bytes added to data that end early do.


def _lacks_rows_jpeg(image: Image.Image, content: bytes) -> bool:
    if lacks_scans(content):
        return True
    if not (is_progressive(content) or _is_filled(image)):
        return False
    longer = insert_after_scans(content, _make_noise())
    with Image.open(io.BytesIO(longer), formats=("JPEG",)) as other:
        return not np.array_equal(np.asarray(image), np.asarray(other))


def _is_filled(image: Image.Image) -> bool:
    """Say whether the last block has the grey level that stands for no data."""
    corner = (image.width - _BLOCK_PX, image.height - _BLOCK_PX, image.width, image.height)
    levels = np.asarray(image.crop(corner))
    return bool(np.isin(levels, _FILL_LEVELS).all())


def _make_noise() -> bytes:
    """Make bytes that hold no marker."""
    return np.random.default_rng(0).integers(0, 255, 4096, dtype=np.uint8).tobytes()
