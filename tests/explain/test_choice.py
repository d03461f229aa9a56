"""The most confident right and wrong films of each class, one a patient."""

from __future__ import annotations

import numpy as np

from cxresnet.explain.choice import choose_films
from cxresnet.metrics.classification import Judged


def _choose(
    rows: list[tuple[str, str, int, tuple[float, float]]],
    *,
    films_per_class: int,
    weights: tuple[float, float] = (1, 1),
) -> list[tuple[int, int, str]]:
    """Rows are (image, patient, truth, probabilities)."""
    probabilities = np.array([row[3] for row in rows])
    judged = Judged(
        class_names=("normal", "covid-19"),
        truth=np.array([row[2] for row in rows]),
        predicted=(probabilities * weights).argmax(axis=1),
        probabilities=probabilities,
    )
    chosen = choose_films(
        judged,
        image_ids=[row[0] for row in rows],
        group_ids=[row[1] for row in rows],
        films_per_class=films_per_class,
    )
    return [(each.row, each.predicted, each.why) for each in chosen]


def test_by_hand_right_before_wrong_and_most_confident_first() -> None:
    films = [
        ("a", "1", 0, (0.6, 0.4)),
        ("b", "2", 0, (0.9, 0.1)),
        ("c", "3", 0, (0.2, 0.8)),
        ("d", "4", 1, (0.3, 0.7)),
        ("e", "5", 0, (0.7, 0.3)),
    ]
    assert _choose(films, films_per_class=2) == [
        (1, 0, "most confident right"),
        (4, 0, "most confident right"),
        (2, 1, "most confident wrong"),
        (0, 0, "least confident right"),
        (3, 1, "most confident right"),
    ]


def test_the_least_confident_right_film_is_of_a_patient_not_shown_yet() -> None:
    films = [
        ("a", "1", 0, (0.9, 0.1)),
        ("b", "1", 0, (0.51, 0.49)),
        ("c", "2", 0, (0.7, 0.3)),
        ("d", "3", 0, (0.6, 0.4)),
        ("e", "3", 0, (0.8, 0.2)),
    ]
    assert _choose(films, films_per_class=1) == [
        (0, 0, "most confident right"),
        (3, 0, "least confident right"),
    ]


def test_what_was_decided_counts_not_the_largest_probability() -> None:
    films = [("a", "1", 1, (0.6, 0.4)), ("b", "2", 1, (0.55, 0.45))]
    assert _choose(films, films_per_class=2, weights=(1, 2)) == [
        (1, 1, "most confident right"),
        (0, 1, "most confident right"),
    ]


def test_a_patient_stands_once_with_the_most_confident_film() -> None:
    films = [("a", "1", 0, (0.8, 0.2)), ("b", "1", 0, (0.9, 0.1)), ("c", "2", 0, (0.6, 0.4))]
    assert [row for row, *_ in _choose(films, films_per_class=2)] == [1, 2]


def test_equal_confidence_goes_by_image_id() -> None:
    films = [("b", "1", 0, (0.9, 0.1)), ("a", "2", 0, (0.9, 0.1))]
    assert _choose(films, films_per_class=1) == [
        (1, 0, "most confident right"),
        (0, 0, "least confident right"),
    ]


def test_films_without_a_known_class_are_passed_over() -> None:
    assert _choose([("a", "1", -1, (0.9, 0.1))], films_per_class=3) == []
