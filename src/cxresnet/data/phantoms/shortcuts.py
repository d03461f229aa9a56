"""Shortcuts planted on purpose: a letter, a tone, a frame or a softness that predicts the class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_LETTER = ("11110", "10001", "10001", "11110", "10100", "10010", "10001")
"""An "R" of lead, as it is laid beside the patient's right shoulder."""

_DOT_SHARE, _MARGIN_SHARE = 0.0125, 0.06
_GAMMA = 1.6
_FRAME_INSET_SHARE, _FRAME_WIDTH_SHARE = 0.02, 0.015
_FRAME_LEVEL = np.float32(0.95)
_SOFT_SHARE = 0.01


def draw_shortcut(
    grey: NDArray[np.float32], shortcut: str, *, letters: int = 1
) -> NDArray[np.float32]:
    """Plant a shortcut into an image.

    Args:
        grey: 0 to 1, (side_px, side_px).
        shortcut: "marker": a letter in the upper left corner; "letters": several; "tone": a darker
            image; "frame": a bright line around the image, as a scanner or a screenshot leaves it;
            "sharpness": a softer image, as a resampled copy is.
        letters: How many, one below the other.
    """
    if shortcut == "tone":
        return np.clip(grey, 0, 1) ** np.float32(_GAMMA)
    if shortcut == "sharpness":
        from scipy import ndimage  # noqa: PLC0415  slow to import, and not needed to say what is wrong

        soft = ndimage.gaussian_filter(grey, _SOFT_SHARE * grey.shape[0], mode="nearest")
        return np.asarray(soft, dtype=np.float32)
    changed = grey.copy()
    if shortcut == "frame":
        changed[mark_frame(grey.shape[0])] = _FRAME_LEVEL
        return changed
    for stamp in _mark_letters(grey.shape[0], letters):
        changed[stamp] = 1
    return changed


def mark_letter(side_px: int, *, at_right: bool = False) -> NDArray[np.bool_]:
    """Mark the pixels of one letter in the upper left or right corner, (side_px, side_px)."""
    marked = next(_mark_letters(side_px, 1))
    if not at_right:
        return marked
    columns = np.flatnonzero(marked.any(axis=0))
    return np.roll(marked, side_px - 1 - columns[0] - columns[-1], axis=1)


def mark_frame(side_px: int) -> NDArray[np.bool_]:
    """Mark the pixels of a thin line around the image, 2 % from its edge, (side_px, side_px)."""
    width = max(round(side_px * _FRAME_WIDTH_SHARE), 1)
    inset = round(side_px * _FRAME_INSET_SHARE)
    line = np.zeros((side_px, side_px), dtype=bool)
    line[inset : side_px - inset, inset : side_px - inset] = True
    inner = inset + width
    line[inner : side_px - inner, inner : side_px - inner] = False
    return line


def _mark_letters(side_px: int, count: int) -> Iterator[NDArray[np.bool_]]:
    """Mark the pixels of some letters, one below the other, each (side_px, side_px)."""
    letter = np.array([[int(dot) for dot in row] for row in _LETTER], dtype=bool)
    dot_px = max(round(side_px * _DOT_SHARE), 1)
    stamp = np.kron(letter, np.ones((dot_px, dot_px), dtype=bool))
    left = round(side_px * _MARGIN_SHARE)
    for number in range(count):
        top = left + number * (stamp.shape[0] + 2 * dot_px)
        marked = np.zeros((side_px, side_px), dtype=bool)
        marked[top : top + stamp.shape[0], left : left + stamp.shape[1]] = stamp
        yield marked
