from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from cxresnet.core.classes import ClassMap, build_class_map
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ImageError, MissingExtraError
from cxresnet.data.decode.record import PreparedImage, decode_record
from cxresnet.data.duplicates import compute_fingerprint
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.data.sources.source import AbstractSource, Rejection, ScanResult

ROAD = build_preprocessing(DataConfig(side_px=32, common_side_px=48))
RECORD = ImageRecord(image_id="a.png", location="a", class_name="normal", source="n")


class OneImage(AbstractSource):
    """Hands out the same content for every location, or fails as told."""

    def __init__(self, content: bytes | np.ndarray | Exception) -> None:
        self.content = content

    @property
    def name(self) -> str:
        return "one"

    @property
    def class_map(self) -> ClassMap:
        return build_class_map()

    def scan(self) -> ScanResult:
        return ScanResult((RECORD,))

    def read(self, location: str) -> bytes | np.ndarray:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def draw(height: int = 100, width: int = 80) -> np.ndarray:
    image = np.full((height, width), 200, dtype=np.uint8)
    image[10:-10, 10:-10] = np.linspace(0, 255, width - 20).astype(np.uint8)
    return image


def encode(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_facts_are_of_the_file_as_it_came() -> None:
    content = encode(draw())
    result = decode_record(OneImage(content), RECORD, ROAD)
    assert isinstance(result, PreparedImage)
    facts = result.facts
    assert (facts.file_width, facts.file_height, facts.file_format) == (80, 100, "PNG")
    assert facts.file_mode == "L"
    assert facts.file_bytes == len(content)
    assert facts.content_sha256 == hashlib.sha256(content).hexdigest()
    assert facts.pixels_sha256 == hashlib.sha256(result.image.tobytes()).hexdigest()


def test_the_border_grey_is_of_the_border_alone() -> None:
    result = decode_record(OneImage(encode(draw())), RECORD, ROAD)
    assert isinstance(result, PreparedImage)
    assert result.facts.border_grey == pytest.approx(200 / 255, abs=1e-6)


def test_pixels_without_a_file_give_the_same_image_as_their_file() -> None:
    image = draw()
    from_file = decode_record(OneImage(encode(image)), RECORD, ROAD)
    from_array = decode_record(OneImage(image), RECORD, ROAD)
    assert isinstance(from_file, PreparedImage)
    assert isinstance(from_array, PreparedImage)
    assert (from_file.image == from_array.image).all()
    assert from_array.facts.file_format == "array"


def test_the_fingerprint_of_a_large_image_is_that_of_the_image_reduced() -> None:
    large = draw(1200, 900)
    result = decode_record(OneImage(large), RECORD, ROAD)
    assert isinstance(result, PreparedImage)
    whole = compute_fingerprint(large.astype(np.float32) / 255)
    difference = np.abs(result.fingerprint.astype(int) - whole)
    assert difference.mean() < 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"hello there", "not-an-image"),
        (ImageError("missing", "It is gone."), "missing"),
        (MissingExtraError("dicom", needed_for="Reading DICOM images"), "missing-extra"),
        (PermissionError(13, "Permission denied"), "unreadable"),
        (RuntimeError("surprise of Jane Miller"), "unexpected"),
        (MemoryError(), "too-large"),
        (struct.error("short"), "unexpected"),
        (np.full((20, 20), 3, dtype=np.uint8), "blank"),
        (np.zeros((20, 20, 3), dtype=np.uint8), "not-an-image"),
        (np.zeros((20, 20), dtype=np.float32), "not-an-image"),
        (np.zeros((0, 20), dtype=np.uint8), "not-an-image"),
    ],
)
def test_whatever_is_wrong_becomes_a_rejection_with_a_reason(
    content: bytes | np.ndarray | Exception, code: str
) -> None:
    result = decode_record(OneImage(content), RECORD, ROAD)
    assert isinstance(result, Rejection)
    assert result.code == code
    assert (result.image_id, result.class_name) == ("a.png", "normal")
    assert result.reason
    assert "Jane" not in result.reason
