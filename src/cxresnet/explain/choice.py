"""Which films are explained: of each class the surest right and wrong ones, and the unsurest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxresnet.explain.record import Why
from cxresnet.metrics.classification import Judged

__all__ = ["Choice", "choose_films"]


@dataclass(frozen=True)
class Choice:
    """One film that is explained.

    Attributes:
        row: Of the predictions.
        predicted: Class index: what was decided for.
        why: Why this film.
        explained: Class index: whose probability is explained.
    """

    row: int
    predicted: int
    why: Why
    explained: int


def choose_films(
    judged: Judged,
    *,
    image_ids: Sequence[str],
    group_ids: Sequence[str],
    films_per_class: int,
) -> tuple[Choice, ...]:
    """Choose the most confident right and wrong films of each true class, and the least confident.

    Confidence is the probability of the class that was decided for. One film a group (patient or
    cluster of copies) stands for it, so that a class is not shown by one patient alone. These films
    are the extremes, not a fair sample.

    Args:
        judged: Films of the test and what was decided; those without a known class (truth -1) are
            passed over.
        image_ids: One a film.
        group_ids: One a film.
        films_per_class: At most so many films of each of the three kinds of each class.

    Returns:
        By class: right and wrong ones, most confident first, then right ones of other groups,
        least confident first; equal confidence by image id.
    """
    choices: list[Choice] = []
    order = _order_by_confidence(judged, image_ids)
    for label in range(len(judged.class_names)):
        ours = [row for row in order if judged.truth[row] == label]
        right = [row for row in ours if judged.predicted[row] == label]
        wrong = [row for row in ours if judged.predicted[row] != label]
        surest = _take_one_of_each_group(right, group_ids)[:films_per_class]
        shown = {group_ids[row] for row in surest}
        others = [row for row in reversed(right) if group_ids[row] not in shown]
        kinds: tuple[tuple[list[int], Why], ...] = (
            (surest, "most confident right"),
            (_take_one_of_each_group(wrong, group_ids), "most confident wrong"),
            (_take_one_of_each_group(others, group_ids), "least confident right"),
        )
        for rows, why in kinds:
            chosen = rows[:films_per_class]
            decided = [int(judged.predicted[row]) for row in chosen]
            choices += [
                Choice(row, predicted, why, explained=predicted)
                for row, predicted in zip(chosen, decided, strict=True)
            ]
    return tuple(choices)


def _order_by_confidence(judged: Judged, image_ids: Sequence[str]) -> list[int]:
    rows = np.arange(len(judged.predicted))
    confidence = judged.probabilities[rows, judged.predicted]
    return sorted(rows.tolist(), key=lambda row: (-float(confidence[row]), image_ids[row]))


def _take_one_of_each_group(rows: list[int], group_ids: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(group_ids[row], row)
    return list(first.values())
