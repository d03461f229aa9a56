"""Faults planted on purpose: shortcuts that tell the class, copies, and unreadable files."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxresnet.data.phantoms.plan import CopyKind, CorruptKind

__all__ = ["corrupt_file", "draw_shortcut", "encode_png", "make_copy"]

_LETTER = ("11110", "10001", "10001", "11110", "10100", "10010", "10001")
"""An "R" of lead, as it is laid beside the patient's right shoulder."""


def draw_shortcut(
    grey: NDArray[np.float32], shortcut: str, *, letters: int = 1
) -> NDArray[np.float32]:
    """Plant a shortcut: a letter in the upper left corner, or several, or a darker film ("tone").

    Args:
        grey: 0 to 1, (side_px, side_px).
        shortcut: As `PhantomSettings.shortcut`.
        letters: How many, one below the other.
    """
    if shortcut == "tone":
        return np.clip(grey, 0, 1) ** np.float32(1.6)
    letter = np.array([[int(dot) for dot in row] for row in _LETTER], dtype=bool)
    dot_px = max(round(grey.shape[0] * 0.0125), 1)
    stamp = np.kron(letter, np.ones((dot_px, dot_px), dtype=bool))
    left = round(grey.shape[0] * 0.06)
    marked = grey.copy()
    for number in range(letters):
        top = left + number * (stamp.shape[0] + 2 * dot_px)
        marked[top : top + stamp.shape[0], left : left + stamp.shape[1]][stamp] = 1
    return marked


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode grey levels as PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def make_copy(pixels: NDArray[np.uint8], kind: CopyKind) -> bytes | NDArray[np.uint8]:
    """Make a near duplicate: the same film, saved again, smaller, or brighter."""
    if kind == "re-encoded":
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=60)
        return stream.getvalue()
    if kind == "resized":
        side_px = round(pixels.shape[0] * 0.8)
        return np.asarray(Image.fromarray(pixels).resize((side_px, side_px)))
    if kind == "brightened":
        return np.asarray(np.clip(pixels * 1.08, 0, 255), dtype=np.uint8)
    return pixels


def corrupt_file(pixels: NDArray[np.uint8], kind: CorruptKind) -> bytes:
    """Make a file that cannot be read: cut off half way, empty, or not an image at all."""
    if kind == "truncated":
        content = encode_png(pixels)
        return content[: len(content) // 2]
    return b"" if kind == "empty" else b"This is a text, not a film.\n"
