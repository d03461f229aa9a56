"""Which images are explained: the extremes of each class, and those that a user requested."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.core.errors import ConfigError, RunFolderError
from cxresnet.explain.choice import Choice, choose_images, choose_requested, find_class
from cxresnet.metrics.classification import ClassifiedImages
from cxresnet.predict import Predictions

NAMES = ("normal", "covid-19")
IMAGE_IDS = ("a/one.png", "b/one.png", "b/two.png")


def _choose(
    rows: list[tuple[str, str, int, tuple[float, float]]],
    *,
    images_per_class: int,
    weights: tuple[float, float] = (1, 1),
) -> list[tuple[int, int, str]]:
    """Rows are (image, patient, truth, probabilities)."""
    probabilities = np.array([row[3] for row in rows])
    evaluated = ClassifiedImages(
        class_names=("normal", "covid-19"),
        truth=np.array([row[2] for row in rows]),
        predicted=(probabilities * weights).argmax(axis=1),
        probabilities=probabilities,
    )
    chosen = choose_images(
        evaluated,
        image_ids=[row[0] for row in rows],
        group_ids=[row[1] for row in rows],
        images_per_class=images_per_class,
    )
    return [(each.row, each.predicted, each.selection_reason) for each in chosen]


def test_by_hand_right_before_wrong_and_most_confident_first() -> None:
    images = [
        ("a", "1", 0, (0.6, 0.4)),
        ("b", "2", 0, (0.9, 0.1)),
        ("c", "3", 0, (0.2, 0.8)),
        ("d", "4", 1, (0.3, 0.7)),
        ("e", "5", 0, (0.7, 0.3)),
    ]
    assert _choose(images, images_per_class=2) == [
        (1, 0, "most confident correct"),
        (4, 0, "most confident correct"),
        (2, 1, "most confident incorrect"),
        (0, 0, "least confident correct"),
        (3, 1, "most confident correct"),
    ]


def test_the_least_confident_right_image_is_of_a_patient_not_shown_yet() -> None:
    images = [
        ("a", "1", 0, (0.9, 0.1)),
        ("b", "1", 0, (0.51, 0.49)),
        ("c", "2", 0, (0.7, 0.3)),
        ("d", "3", 0, (0.6, 0.4)),
        ("e", "3", 0, (0.8, 0.2)),
    ]
    assert _choose(images, images_per_class=1) == [
        (0, 0, "most confident correct"),
        (3, 0, "least confident correct"),
    ]


def test_what_was_decided_counts_not_the_largest_probability() -> None:
    images = [("a", "1", 1, (0.6, 0.4)), ("b", "2", 1, (0.55, 0.45))]
    assert _choose(images, images_per_class=2, weights=(1, 2)) == [
        (1, 1, "most confident correct"),
        (0, 1, "most confident correct"),
    ]


def test_a_patient_stands_once_with_the_most_confident_image() -> None:
    images = [("a", "1", 0, (0.8, 0.2)), ("b", "1", 0, (0.9, 0.1)), ("c", "2", 0, (0.6, 0.4))]
    assert [row for row, *_ in _choose(images, images_per_class=2)] == [1, 2]


def test_equal_confidence_goes_by_image_id() -> None:
    images = [("b", "1", 0, (0.9, 0.1)), ("a", "2", 0, (0.9, 0.1))]
    assert _choose(images, images_per_class=1) == [
        (1, 0, "most confident correct"),
        (0, 0, "least confident correct"),
    ]


def test_images_without_a_known_class_are_passed_over() -> None:
    assert _choose([("a", "1", -1, (0.9, 0.1))], images_per_class=3) == []


def test_of_three_classes_a_patient_stands_once_a_kind_and_the_decision_is_explained() -> None:
    # Image, patient, truth, decision, probability of the decision.
    rows = [
        ("a", "1", 2, 0, 0.9), ("b", "1", 2, 1, 0.8), ("c", "2", 2, 0, 0.7), ("d", "2", 2, 2, 0.6),
        ("e", "3", 2, 1, 0.5), ("f", "3", 0, 0, 0.9), ("g", "4", 0, 0, 0.4),
    ]  # fmt: skip
    probabilities = np.array(
        [[sure if label == decided else (1 - sure) / 2 for label in range(3)]
         for *_, decided, sure in rows]
    )  # fmt: skip
    evaluated = ClassifiedImages(
        class_names=("normal", "pneumonia", "covid-19"),
        truth=np.array([row[2] for row in rows]),
        predicted=np.array([row[3] for row in rows]),
        probabilities=probabilities,
    )
    chosen = choose_images(
        evaluated,
        image_ids=[row[0] for row in rows],
        group_ids=[row[1] for row in rows],
        images_per_class=2,
    )
    assert [(rows[one.row][0], one.selection_reason, one.target) for one in chosen] == [
        ("f", "most confident correct", 0),
        ("g", "most confident correct", 0),
        ("d", "most confident correct", 2),
        ("a", "most confident incorrect", 0),
        ("c", "most confident incorrect", 0),
    ]


@pytest.fixture
def predictions() -> Predictions:
    return Predictions(
        image_ids=IMAGE_IDS,
        patient_ids=("",) * 3,
        group_ids=("1", "2", "3"),
        sources=("s",) * 3,
        truth=np.array([0, 1, 1]),
        logits=np.array([[2, 0], [0, 1], [3, 0]], np.float32),
        class_names=NAMES,
    )


@pytest.fixture
def evaluated(predictions: Predictions) -> ClassifiedImages:
    return ClassifiedImages(
        class_names=NAMES,
        truth=predictions.truth,
        predicted=predictions.logits.argmax(axis=1),
        probabilities=predictions.probabilities,
    )


def _choose_requested(
    evaluated: ClassifiedImages,
    predictions: Predictions,
    *image_ids: str,
    target: int | None = None,
) -> tuple[Choice, ...]:
    return choose_requested(
        evaluated, predictions, image_ids=image_ids, target=target, images_per_class=2
    )


def test_an_image_is_found_by_its_id_and_by_a_file_name_that_is_clear(
    evaluated: ClassifiedImages, predictions: Predictions
) -> None:
    found = _choose_requested(evaluated, predictions, "b/one.png", "two.png", "b/two.png")
    assert [(choice.row, choice.selection_reason, choice.target) for choice in found] == [
        (1, "requested", 1),
        (2, "requested", 0),
    ]


def test_the_class_asked_for_is_explained_whatever_the_network_says(
    evaluated: ClassifiedImages, predictions: Predictions
) -> None:
    (found,) = _choose_requested(evaluated, predictions, "two.png", target=1)
    assert (found.predicted, found.target) == (0, 1)


def test_without_an_image_those_of_the_report_are_explained(
    evaluated: ClassifiedImages, predictions: Predictions
) -> None:
    found = _choose_requested(evaluated, predictions, target=1)
    assert {choice.row for choice in found} == {0, 1, 2}
    assert {choice.target for choice in found} == {1}


def test_a_file_name_that_two_images_have_is_refused(
    evaluated: ClassifiedImages, predictions: Predictions
) -> None:
    with pytest.raises(RunFolderError, match=r"2 images .* 'one\.png'.*--test-image 'a/one\.png'"):
        _choose_requested(evaluated, predictions, "one.png")


def test_an_unknown_image_is_refused_with_the_nearest(
    evaluated: ClassifiedImages, predictions: Predictions
) -> None:
    with pytest.raises(RunFolderError, match=r"no image 'a/on\.png'.*Did you mean 'a/one\.png'"):
        _choose_requested(evaluated, predictions, "a/on.png")


def test_a_class_has_many_names_and_an_unknown_one_is_refused() -> None:
    assert find_class("covid", NAMES) == find_class("COVID-19", NAMES) == 1
    with pytest.raises(ConfigError, match=r"no class 'flu'.*normal, covid-19"):
        find_class("flu", NAMES)
