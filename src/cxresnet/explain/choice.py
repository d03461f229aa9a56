"""Which images are explained: the extremes of each class, or those that a user requested."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ConfigError, RunFolderError
from cxresnet.explain.record import SelectionReason
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.predict import Predictions


@dataclass(frozen=True)
class Choice:
    """One image that is explained.

    Attributes:
        row: Of the predictions.
        predicted: Index of the class that was decided for.
        selection_reason: Why this image was chosen.
        target: Index of the class whose probability is explained.
    """

    row: int
    predicted: int
    selection_reason: SelectionReason
    target: int


def choose_images(
    evaluated: ClassifiedImages,
    *,
    image_ids: Sequence[str],
    group_ids: Sequence[str],
    images_per_class: int,
) -> tuple[Choice, ...]:
    """Choose the most confident correct and incorrect, and the least confident correct images.

    Confidence is the probability of the class that was decided for. Each group (patient or cluster
    of near-duplicates) is represented by one image, so that a class is not shown by one patient
    alone. These images are the extremes, not a representative sample.

    Args:
        evaluated: Decisions on the test images; those without a known class (truth -1) are skipped.
        image_ids: One per image.
        group_ids: One per image.
        images_per_class: The largest number of images of each of the three kinds per class.

    Returns:
        By true class: correct and incorrect ones, most confident first, then correct ones of other
        groups, least confident first; ties by image ID.
    """
    choices: list[Choice] = []
    order = _order_by_confidence(evaluated, image_ids)
    for label in range(len(evaluated.class_names)):
        ours = [row for row in order if evaluated.truth[row] == label]
        right = [row for row in ours if evaluated.predicted[row] == label]
        wrong = [row for row in ours if evaluated.predicted[row] != label]
        most_confident = _take_one_of_each_group(right, group_ids)[:images_per_class]
        shown = {group_ids[row] for row in most_confident}
        others = [row for row in reversed(right) if group_ids[row] not in shown]
        kinds: tuple[tuple[list[int], SelectionReason], ...] = (
            (most_confident, "most confident correct"),
            (_take_one_of_each_group(wrong, group_ids), "most confident incorrect"),
            (_take_one_of_each_group(others, group_ids), "least confident correct"),
        )
        for rows, selection_reason in kinds:
            chosen = rows[:images_per_class]
            decided = [int(evaluated.predicted[row]) for row in chosen]
            choices += [
                Choice(row, predicted, selection_reason, target=predicted)
                for row, predicted in zip(chosen, decided, strict=True)
            ]
    return tuple(choices)


def _order_by_confidence(evaluated: ClassifiedImages, image_ids: Sequence[str]) -> list[int]:
    rows = np.arange(len(evaluated.predicted))
    confidence = evaluated.probabilities[rows, evaluated.predicted]
    return sorted(rows.tolist(), key=lambda row: (-float(confidence[row]), image_ids[row]))


def _take_one_of_each_group(rows: list[int], group_ids: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(group_ids[row], row)
    return list(first.values())


def choose_requested(
    evaluated: ClassifiedImages,
    predictions: Predictions,
    *,
    image_ids: Sequence[str],
    target: int | None,
    images_per_class: int,
) -> tuple[Choice, ...]:
    """Choose the requested images, or those that the report would show.

    Args:
        evaluated: The decisions.
        predictions: Of the test images.
        image_ids: As in the manifest, or the file name alone where it is unambiguous; none: as
            `choose_images`.
        target: Index of the class explained; None: the class that was decided for.
        images_per_class: As for `choose_images`.

    Raises:
        RunFolderError: The test set has no such image, or several with that file name.
    """
    if not image_ids:
        chosen = choose_images(
            evaluated,
            image_ids=predictions.image_ids,
            group_ids=predictions.group_ids,
            images_per_class=images_per_class,
        )
    else:
        rows = dict.fromkeys(_find_image(name, predictions.image_ids) for name in image_ids)
        decided = [int(evaluated.predicted[row]) for row in rows]
        chosen = tuple(
            Choice(row, predicted, "requested", target=predicted)
            for row, predicted in zip(rows, decided, strict=True)
        )
    if target is None:
        return chosen
    return tuple(dataclasses.replace(choice, target=target) for choice in chosen)


def _find_image(name: str, image_ids: Sequence[str]) -> int:
    if name in image_ids:
        return list(image_ids).index(name)
    rows = [row for row, image_id in enumerate(image_ids) if Path(image_id).name == name]
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise RunFolderError(
            f"{len(rows)} images of the test set are called '{name}'; give the full ID, for "
            f"example --test-image '{image_ids[rows[0]]}'."
        )
    close = difflib.get_close_matches(name, image_ids, n=1, cutoff=0.3)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise RunFolderError(
        f"The test set has no image '{name}'.{hint} evaluate/predictions.csv lists all of them."
    )


def find_class(name: str, class_names: Sequence[str]) -> int:
    """Find a class by its name or a synonym.

    Raises:
        ConfigError: There is no such class; the message lists those that there are.
    """
    found = build_class_map(class_names=class_names).find(name)
    if not found:
        raise ConfigError(
            f"The network knows no class '{name}'. Choose one of: {', '.join(class_names)}."
        )
    return list(class_names).index(found)
