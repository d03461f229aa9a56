"""Which films are explained: the most confident right and wrong ones of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxresnet.explain.record import Why
from cxresnet.predict import Predictions

__all__ = ["Choice", "choose_films"]


@dataclass(frozen=True)
class Choice:
    """One film that is explained.

    Attributes:
        row: Of the predictions.
        predicted: Class index; the class explained.
        why: Why this film.
    """

    row: int
    predicted: int
    why: Why


def choose_films(predictions: Predictions, *, films_per_class: int) -> tuple[Choice, ...]:
    """Choose the most confident right and wrong films of each true class.

    One film a group (patient or cluster of copies) stands for it, so that a class is not shown by
    one patient alone. These films are the extremes, not a fair sample.

    Args:
        predictions: Of the test split; films without a known class are passed over.
        films_per_class: At most so many right and so many wrong films of each class.

    Returns:
        By class, right before wrong, most confident first; equal confidence by image id.
    """
    choices: list[Choice] = []
    predicted = predictions.probabilities.argmax(axis=1)
    order = _order_by_confidence(predictions)
    for label in range(len(predictions.class_names)):
        ours = [row for row in order if predictions.truth[row] == label]
        right = [row for row in ours if predicted[row] == label]
        wrong = [row for row in ours if predicted[row] != label]
        kinds: tuple[tuple[list[int], Why], ...] = (
            (right, "most confident right"),
            (wrong, "most confident wrong"),
        )
        for rows, why in kinds:
            chosen = _take_one_of_each_group(rows, predictions.group_ids)[:films_per_class]
            choices += [Choice(row, int(predicted[row]), why) for row in chosen]
    return tuple(choices)


def _order_by_confidence(predictions: Predictions) -> list[int]:
    confidence: NDArray[np.floating] = predictions.probabilities.max(axis=1)
    return sorted(
        range(len(predictions.image_ids)),
        key=lambda row: (-float(confidence[row]), predictions.image_ids[row]),
    )


def _take_one_of_each_group(rows: list[int], group_ids: tuple[str, ...]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(group_ids[row], row)
    return list(first.values())
