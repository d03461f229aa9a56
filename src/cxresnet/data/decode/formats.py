"""The format of a file, recognised by its bytes and never by its name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.core.errors import ImageError
from cxresnet.data.decode.block_mean import average_blocks
from cxresnet.data.decode.jpeg import is_sequential, read_jpeg_size
from cxresnet.data.decode.limits import MAX_PIXELS, MAX_PLAIN_PIXELS

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
_PNG_HEADER = b"IHDR"
"""Of several the last one counts for Pillow, wherever they stand."""


def sniff_format(content: bytes) -> str:
    """Tell the kind of file from its first bytes.

    DICOM is asked first: its first 128 bytes are free and may look like any other file.

    Args:
        content: The whole file.

    Returns:
        One of `ALLOWED_FORMATS`.

    Raises:
        ImageError: "empty", "format-not-allowed" for a known kind that is not decoded, or
            "not-an-image".
    """
    if not content:
        raise ImageError("empty", "The file is empty (0 bytes). Download it again.")
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


def is_plain(content: bytes, *, kind: str) -> bool:
    """Say whether a decoder takes little memory and time, by what the header states.

    Plain are PNG, and JPEG stored row by row, of up to `MAX_PLAIN_PIXELS`. One that states more
    than `MAX_PIXELS` is refused before anything is decoded, which is plain enough.
    """
    if kind == "PNG" and content.count(_PNG_HEADER) == 1 and content[12:16] == _PNG_HEADER:
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    elif kind == "JPEG" and is_sequential(content):
        width, height = read_jpeg_size(content) or (0, 0)
    else:
        return False
    return not MAX_PLAIN_PIXELS < width * height <= MAX_PIXELS


def _looks_like_bare_dicom(content: bytes) -> bool:
    """Tell a DICOM file that was stored without its preamble: it starts with group 2 or 8."""
    little = content[1:2] == b"\0" and content[3:4] == b"\0" and content[:1] in (b"\x02", b"\x08")
    big = content[0:1] == b"\0" and content[2:3] == b"\0" and content[1:2] in (b"\x02", b"\x08")
    return len(content) > len(b"DICM") * 2 and (little or big)


def _refuse(content: bytes) -> ImageError:
    """Build the error for bytes that are not decoded."""
    allowed = ", ".join(ALLOWED_FORMATS)
    kind = next((name for start, name in _KNOWN_STARTS if content.startswith(start)), "")
    if content[4:8] == b"ftyp":
        kind = "HEIF, AVIF or MP4"
    if kind:
        return ImageError(
            "format-not-allowed",
            f"The file is {kind}, which cannot be read. Convert it: {allowed}.",
        )
    return ImageError("not-an-image", f"The file is not an image. Give one of: {allowed}.")


# Grey levels between 0 and 1 from any mode that Pillow knows, by one rule for each mode:
#
# 8 bits      level / 255. Colour first by Rec. 601 luma (0.299 R + 0.587 G + 0.114 B).
# 16 bits     level / 65535, whatever part of the range the image uses; a 12-bit TIFF level / 4095.
#             Pillow's own `convert("L")` would clip at 255.
# 32 bits     no full scale is stated. Float within 0 to 1 stays; all else runs from the image's
#             lowest to its highest finite level. Not-a-number is black.
# Alpha       the image is composited on black; alpha of 0 everywhere does not count.


_BITS_PER_SAMPLE_TAG = 258
_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0
_ORIENTATION_TAG = 274
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB")
_COLOUR_SIZE_PX = (64, 64)
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")


def to_grey(image: Image.Image, *, min_side_px: int = 0) -> NDArray[np.float32]:
    """Turn a loaded picture into grey levels, upright.

    Args:
        image: Loaded, in any mode.
        min_side_px: See `average_blocks`; 0 keeps every pixel.

    Returns:
        (height, width), 0 (black) to 1 (white), turned as its EXIF orientation says.
    """
    if image.mode.startswith("I;16"):
        pixels = _scale_16_bits(image)
    elif image.mode in ("I", "F"):
        pixels = _scale_32_bits(np.asarray(image))
    elif image.has_transparency_data:
        pixels = _lay_on_black(image)
    else:
        levels = np.asarray(_convert_to_luma(image))
        pixels = average_blocks(levels, min_side_px=min_side_px)
        pixels /= np.float32(255)
        min_side_px = 0
    if image.mode in _DEEP_MODES and _is_white_zero(image):
        pixels = 1 - pixels
    pixels = average_blocks(pixels, min_side_px=min_side_px)
    return _turn_upright(pixels, orientation=_read_orientation(image))


def measure_colour(image: Image.Image) -> float:
    """Measure how coloured a picture is: mean of the largest less the smallest of R, G and B.

    Returns:
        0 (grey) to 1 (pure colours), on the picture reduced to a few thousand pixels.
    """
    if image.mode not in _COLOUR_MODES:
        return 0.0
    small = (image if image.mode == "RGB" else image.convert("RGB")).resize(
        _COLOUR_SIZE_PX, Image.Resampling.BOX
    )
    return float(np.ptp(np.asarray(small), axis=2).mean() / 255)


def _convert_to_luma(image: Image.Image) -> Image.Image:
    """Convert 8-bit modes to "L"; CIELAB has its own lightness, CMYK goes by way of RGB."""
    if image.mode == "LAB":
        return image.getchannel(0)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image if image.mode == "L" else image.convert("L")


def _scale_8_bits(image: Image.Image) -> NDArray[np.float32]:
    pixels: NDArray[np.float32] = np.divide(np.asarray(image), 255, dtype=np.float32)
    return pixels


def _lay_on_black(image: Image.Image) -> NDArray[np.float32]:
    """Lay a picture with alpha on black: grey level times alpha.

    Where alpha is 0 everywhere, the program that wrote it did not mean it: then it does not count.
    """
    layered = image.convert("RGBA")
    pixels = _scale_8_bits(layered.convert("L"))
    alpha = _scale_8_bits(layered.getchannel("A"))
    return pixels * alpha if alpha.any() else pixels


def _scale_16_bits(image: Image.Image) -> NDArray[np.float32]:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0]
    pixels: NDArray[np.float32] = np.divide(np.asarray(image), 2**bits - 1, dtype=np.float32)
    return pixels


def _is_white_zero(image: Image.Image) -> bool:
    """Tell a TIFF stored as a negative; Pillow turns only those of up to 8 bits itself."""
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO


def _scale_32_bits(levels: NDArray[np.generic]) -> NDArray[np.float32]:
    pixels = levels.astype(np.float64)
    finite = np.isfinite(pixels)
    if not finite.any():
        return np.zeros(pixels.shape, dtype=np.float32)
    low, high = pixels[finite].min(), pixels[finite].max()
    if levels.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    pixels = np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)
    pixels -= low
    pixels /= max(high - low, np.finfo(np.float64).tiny)
    return pixels.astype(np.float32)


def _read_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; an unreadable EXIF block means upright."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  a torn side note is no reason to lose the image
        return 1
    return value if isinstance(value, int) else 1


def _turn_upright(pixels: NDArray[np.float32], *, orientation: int) -> NDArray[np.float32]:
    """Rotate and mirror by the tag 0x0112 of EXIF 2.3; unknown values mean upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
