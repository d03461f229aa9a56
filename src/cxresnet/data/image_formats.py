"""What kind of file some bytes are, told from the bytes and never from the file's name."""

from __future__ import annotations

from cxresnet.core.errors import FilmError

__all__ = ["ALLOWED_FORMATS", "sniff_format"]

ALLOWED_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "DICOM")
"""Kinds of file that are decoded; no decoder of another kind is ever entered."""

_ALLOWED_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_KNOWN_STARTS = (
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"SIMPLE  =", "FITS"),
    (b"\x93NUMPY", "NumPy"),
)
_DICOM_MARK = slice(128, 132)


def sniff_format(content: bytes) -> str:
    """Tell the kind of file from its first bytes.

    DICOM is asked first: its first 128 bytes are free and may look like any other file.

    Args:
        content: The whole file.

    Returns:
        One of `ALLOWED_FORMATS`.

    Raises:
        FilmError: "empty", "format-not-allowed" for a known kind that is not decoded, or
            "not-an-image".
    """
    if not content:
        raise FilmError("empty", "The file is empty (0 bytes). Fetch it again.")
    if content[_DICOM_MARK] == b"DICM":
        return "DICOM"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    for start, name in _ALLOWED_STARTS:
        if content.startswith(start):
            return name
    if _looks_like_bare_dicom(content):
        return "DICOM"
    raise _refuse(content)


def _looks_like_bare_dicom(content: bytes) -> bool:
    """Tell a DICOM file that was stored without its preamble: it starts with group 2 or 8."""
    little = content[1:2] == b"\0" and content[3:4] == b"\0" and content[:1] in (b"\x02", b"\x08")
    big = content[0:1] == b"\0" and content[2:3] == b"\0" and content[1:2] in (b"\x02", b"\x08")
    return len(content) > len(b"DICM") * 2 and (little or big)


def _refuse(content: bytes) -> FilmError:
    """Build the error for bytes that are not decoded."""
    allowed = ", ".join(ALLOWED_FORMATS)
    kind = next((name for start, name in _KNOWN_STARTS if content.startswith(start)), "")
    if content[4:8] == b"ftyp":
        kind = "HEIF, AVIF or MP4"
    if kind:
        return FilmError(
            "format-not-allowed", f"The file is {kind}, which is not read. Convert it: {allowed}."
        )
    return FilmError("not-an-image", f"The file is not a picture. Give one of: {allowed}.")
