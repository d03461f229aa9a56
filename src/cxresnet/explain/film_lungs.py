"""Which lungs a film is measured with: the mask that came with it, else the lung finder's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.zones import split_lungs
from cxresnet.predict.lung_checks import compute_dice
from cxresnet.predict.lungs import FoundLungs, load_lung_finder

__all__ = ["FilmLungs", "LungSource", "choose_lungs"]

LungSource = Literal["dataset", "lung finder", "none"]

_LEAST_LIKENESS = 0.75
"""Masks of the same lungs that are less alike: one of them is wrong."""


@dataclass(frozen=True, eq=False)
class FilmLungs:
    """The lungs of one film.

    Attributes:
        right_lung: (row, column), true in the patient's right lung, at the picture's left.
        left_lung: The same of the left lung. Both are empty where there are no lungs to rely on.
        source: Where they come from.
        note: What must be known of them, one sentence; "" if nothing.
    """

    right_lung: NDArray[np.bool_]
    left_lung: NDArray[np.bool_]
    source: LungSource
    note: str = ""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Both lungs, (row, column), 255 inside and 0 outside."""
        return (self.right_lung | self.left_lung).astype(np.uint8) * 255


def choose_lungs(film: NDArray[np.uint8], given: NDArray[np.uint8] | None) -> FilmLungs:
    """Take the mask that came with a film, else look for the lungs.

    The finder also looks where there is a mask: where the two are far apart, the note says so, as
    masks of public sets do not always lie where the lungs are.

    Args:
        film: (row, column), as prepared.
        given: Mask of the dataset, (row, column), above 0 inside; None or empty if there is none.
    """
    found = load_lung_finder().find(film)
    if given is not None and given.any():
        right, left = split_lungs(given)
        return FilmLungs(right, left, "dataset", _compare(given > 0, found))
    if found.refusal:
        nothing = np.zeros(film.shape, np.bool_)
        return FilmLungs(nothing, nothing, "none", found.refusal)
    return FilmLungs(found.right_lung, found.left_lung, "lung finder")


def _compare(given: NDArray[np.bool_], found: FoundLungs) -> str:
    likeness = compute_dice(given, found.mask > 0)
    if found.refusal or likeness >= _LEAST_LIKENESS:
        return ""
    return (
        f"The mask that came with this film and the lung finder are far apart (Dice "
        f"{likeness:.2f}); one of them is wrong. The mask that came with it is used."
    )
