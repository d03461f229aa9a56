"""The size that a compressed picture inside DICOM states of itself, read without decoding it.

Rows and Columns of the header may lie. Decoders that believe them shear the film or crash, and
decoders that do not would unpack whatever size the picture claims.
"""

from __future__ import annotations

__all__ = ["read_codestream_size"]

_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN = 0xDA


def read_codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Read width and height of a JPEG, JPEG-LS or JPEG 2000 picture.

    Args:
        frame: One encapsulated frame.

    Returns:
        Width and height in pixels; None where the frame states none that we can find.
    """
    if frame.startswith(_JPEG_START):
        return _read_jpeg_size(frame)
    start = frame.find(_JPEG_2000_START)
    return _read_jpeg_2000_size(frame[start + 8 : start + 24]) if start >= 0 else None


def _read_jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Go from marker to marker to the start of the frame (ISO 10918-1 B.2, ISO 14495-1 C.2)."""
    place = len(_JPEG_START)
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker in _START_OF_FRAME:
            height, width = frame[place + 5 : place + 7], frame[place + 7 : place + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        if marker == _START_OF_SCAN:
            return None
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _read_jpeg_2000_size(body: bytes) -> tuple[int, int] | None:
    """Read the SIZ segment from its Xsiz on (ISO 15444-1 A.5.1): image area less its offset."""
    if len(body) < 16:
        return None
    right, bottom, left, top = (int.from_bytes(body[at : at + 4], "big") for at in range(0, 16, 4))
    return right - left, bottom - top
