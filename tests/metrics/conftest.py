"""An unkind table: three classes, rare ones among them, and patients with one to four images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.metrics.classification import ClassifiedImages

# One patient a row: true class, hospital, and what each of its images was called.
_PATIENTS = (
    ("a", "east", "a"),
    ("a", "east", "b"),
    ("a", "east", "aa"),
    ("a", "west", "aba"),
    ("a", "east", "c"),
    ("a", "west", "aaab"),
    ("b", "west", "bb"),
    ("b", "east", "a"),
    ("b", "west", "bc"),
    ("c", "west", "c"),
    ("c", "west", "ca"),
)


@dataclass(frozen=True, kw_only=True)
class UnevenTable:
    """20 images of 11 patients from two hospitals.

    Called:    a  b  c
    shows a    8  3  1   12 images of 6 patients
    shows b    1  3  1    5 images of 3 patients
    shows c    1  0  2    3 images of 2 patients

    Attributes:
        evaluated: The images, with probability 0.6 for what they are called and 0.3 for the next.
        patients: Of each image, (images,).
        hospitals: Of each image, "east" or "west", (images,).
    """

    evaluated: ClassifiedImages
    patients: NDArray[np.str_]
    hospitals: NDArray[np.str_]


@pytest.fixture
def uneven() -> UnevenTable:
    rows = [
        (number, "abc".index(shown), hospital, "abc".index(called))
        for number, (shown, hospital, calls) in enumerate(_PATIENTS)
        for called in calls
    ]
    patients, truth, hospitals, predicted = (np.array(column) for column in zip(*rows, strict=True))
    probabilities = np.full((len(rows), 3), 0.1)
    probabilities[np.arange(len(rows)), predicted] = 0.6
    probabilities[np.arange(len(rows)), (predicted + 1) % 3] = 0.3
    evaluated = ClassifiedImages(
        class_names=("a", "b", "c"),
        truth=truth,
        predicted=predicted,
        probabilities=probabilities,
    )
    return UnevenTable(evaluated=evaluated, patients=patients.astype(str), hospitals=hospitals)
