"""What a JPEG states of itself, read from marker to marker without decoding it."""

from __future__ import annotations

from cxresnet.core.errors import ImageError

JPEG_START = b"\xff\xd8"
END_OF_PICTURE = b"\xff\xd9"
MAX_SCANS = 100
"""A progressive picture has about ten. Every further one costs its reader the whole picture."""

MAX_MARKERS = 10_000
"""A picture has some dozens before its first scan; sixty million bytes of 0xFF are as many."""

_SEQUENTIAL = frozenset({0xC0, 0xC1})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_START_OF_SCAN = 0xDA
_IN_SCAN = frozenset({0x00, *range(0xD0, 0xD8)})
"""What follows 0xFF within a scan: it is a byte of the data, or marks where data start afresh."""
_WITHOUT_BODY = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})


def find_start_of_frame(content: bytes) -> int:
    """Go from marker to marker (ISO 10918-1 B.2, ISO 14495-1 C.2); 0 where there is none."""
    return _find_marker(content, _START_OF_FRAME)


def read_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Read width and height in pixels; None where there is no frame."""
    place = find_start_of_frame(content)
    if not place:
        return None
    height, width = content[place + 5 : place + 7], content[place + 7 : place + 9]
    return int.from_bytes(width, "big"), int.from_bytes(height, "big")


def is_sequential(content: bytes) -> bool:
    """Say whether the picture is stored row by row, as most are, so that few scans make it."""
    place = find_start_of_frame(content)
    return bool(place) and content[place + 1] in _SEQUENTIAL


def check_scans(content: bytes) -> None:
    """Refuse a picture of very many scans: a few bytes each make a decoder work for minutes.

    Raises:
        ImageError: "damaged".
    """
    start = _find_marker(content, frozenset({_START_OF_SCAN}))
    scans = content.count(bytes((0xFF, _START_OF_SCAN)), start) if start else 0
    if scans > MAX_SCANS:
        raise ImageError(
            "damaged",
            f"The JPEG picture is stored in {scans:,} scans; at most {MAX_SCANS} are read. Save it "
            "again.",
        )


def lacks_scans(content: bytes) -> bool:
    """Say whether a progressive picture ends before all scans that its details are spread over.

    Each scan (ISO 10918-1 B.2.3, G.1.1.1) gives some components of some frequencies down to some
    bit. Whole is a picture of which all frequencies of all components come down to the last bit.
    """
    frame = find_start_of_frame(content)
    if not is_progressive(content):
        return False
    components = content[frame + 10 : frame + 10 + 3 * content[frame + 9] : 3]
    missing = {(component, frequency) for component in components for frequency in range(64)}
    place, end = frame, find_end_of_picture(content)
    while (place := content.find(bytes((0xFF, _START_OF_SCAN)), place + 2, end)) >= 0:
        body = content[
            place + 4 : place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        ]
        if len(body) < 4 or len(body) != 4 + 2 * body[0]:
            continue
        first, last, bits = body[-3:]
        if not bits & 0x0F:
            missing -= {
                (component, frequency)
                for component in body[1:-3:2]
                for frequency in range(first, last + 1)
            }
    return bool(missing)


def is_progressive(content: bytes) -> bool:
    """Say whether the picture is stored as a coarse one and its details, scan by scan."""
    frame = find_start_of_frame(content)
    return bool(frame) and content[frame + 1] in _PROGRESSIVE


def insert_after_scans(content: bytes, addition: bytes) -> bytes:
    """Put bytes behind the data of every scan of the picture: a decoder that has all passes over.

    Args:
        content: The file.
        addition: Without a marker.
    """
    end = find_end_of_picture(content)
    parts, place = [], 0
    while (start := content.find(bytes((0xFF, _START_OF_SCAN)), place, end)) >= 0:
        stop = start + 2
        while (stop := content.find(b"\xff", stop, end)) >= 0 and _goes_on(content, stop):
            stop += 2
        stop = stop if stop >= 0 else end
        parts += [content[place:stop], addition]
        place = stop
    return b"".join((*parts, content[place:]))


def _goes_on(content: bytes, place: int) -> bool:
    """Say whether 0xFF belongs to the data of a scan, and is no marker that ends it."""
    return place + 1 < len(content) and content[place + 1] in _IN_SCAN


def find_end_of_picture(content: bytes) -> int:
    """Find where the picture ends; a thumbnail may lie before it, and anything behind it.

    Returns:
        Place of its end marker; where there is none, the length of the content.
    """
    end = content.find(END_OF_PICTURE, _find_marker(content, frozenset({_START_OF_SCAN})))
    return end if end >= 0 else len(content)


def _find_marker(content: bytes, wanted: frozenset[int]) -> int:
    """Go from marker to marker as decoders do, which pass over bytes that belong to none.

    Returns:
        Place of the first that is wanted; 0 where there is none.

    Raises:
        ImageError: "damaged"; it is not among the first `MAX_MARKERS`.
    """
    place = len(JPEG_START)
    for _ in range(MAX_MARKERS):
        place = content.find(b"\xff", place)
        if place < 0 or place + 9 > len(content):
            return 0
        marker = content[place + 1]
        if marker in wanted:
            return place
        if marker == _START_OF_SCAN:
            return 0
        if marker == 0xFF:
            place += 1
        elif marker in _WITHOUT_BODY:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    raise ImageError(
        "damaged",
        f"The JPEG file has more than {MAX_MARKERS:,} marks before its picture. Save it again.",
    )
