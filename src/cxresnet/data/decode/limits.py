"""How large or small an image may be; checked by the header, before a byte is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.core.errors import ImageError

MAX_PIXELS = 64_000_000
"""Largest image that is decoded; the largest detectors on sale give about 20 million pixels."""

MIN_SIDE_PX = 8
"""Shorter sides hold no chest; MedMNIST has 28."""

MAX_PLAIN_PIXELS = 8_000_000
"""A PNG or sequential JPEG of up to so many is decoded in this process: its decoder takes neither
much memory nor much time, whatever the file says."""


@dataclass(frozen=True)
class DecodeLimits:
    """What decoding one image may take, where it is done in a process of its own.

    Attributes:
        memory_mib: Memory, beside what the process itself takes.
        seconds: Processor time.
    """

    memory_mib: int = 512
    seconds: float = 10.0


DEFAULT_LIMITS = DecodeLimits()


def is_out_of_memory(error: Exception) -> bool:
    """Tell the want of memory, also where a library has wrapped it into an error of its own."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "memory" in text or "unable to allocate" in text


def check_size(width: int, height: int) -> None:
    """Refuse an image by its stated size, so that a decompression bomb is never unpacked.

    Args:
        width: In pixels, as the header says.
        height: In pixels, as the header says.

    Raises:
        ImageError: "too-large" above `MAX_PIXELS`, "too-small" with a side below `MIN_SIDE_PX`.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            "too-large",
            f"The image has {width:,} × {height:,} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} million can be read. Reduce it first.",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            "too-small",
            f"The image has {width:,} × {height:,} pixels; the shorter side needs at least "
            f"{MIN_SIDE_PX}. Leave it out.",
        )
