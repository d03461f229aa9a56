"""How large or small a film may be; asked of the header, before a byte is decoded."""

from __future__ import annotations

from cxresnet.core.errors import FilmError

__all__ = ["MAX_PIXELS", "MIN_SIDE_PX", "check_size"]

MAX_PIXELS = 64_000_000
"""Largest film that is decoded; the largest detectors on sale give about 20 million pixels."""

MIN_SIDE_PX = 8
"""Shorter sides hold no chest; MedMNIST has 28."""


def check_size(width: int, height: int) -> None:
    """Refuse a film by its stated size, so that a decompression bomb is never unpacked.

    Args:
        width: In pixels, as the header says.
        height: In pixels, as the header says.

    Raises:
        FilmError: "too-large" above `MAX_PIXELS`, "too-small" with a side below `MIN_SIDE_PX`.
    """
    if width * height > MAX_PIXELS:
        raise FilmError(
            "too-large",
            f"The film has {width:,} × {height:,} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} million are read. Reduce it first.",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise FilmError(
            "too-small",
            f"The film has {width:,} × {height:,} pixels; the shorter side needs at least "
            f"{MIN_SIDE_PX}. Leave it out.",
        )
