"""The most confident right and wrong films of each class, one a patient."""

from __future__ import annotations

import numpy as np

from cxresnet.explain.choice import choose_films
from cxresnet.predict import Predictions


def _predict(
    rows: list[tuple[str, str, int, tuple[float, float]]],
) -> Predictions:
    return Predictions(
        image_ids=tuple(row[0] for row in rows),
        patient_ids=tuple(row[1] for row in rows),
        group_ids=tuple(row[1] for row in rows),
        sources=("s",) * len(rows),
        truth=np.array([row[2] for row in rows]),
        logits=np.log(np.array([row[3] for row in rows], np.float32)),
        class_names=("normal", "covid-19"),
    )


def test_by_hand_right_before_wrong_and_most_confident_first() -> None:
    predictions = _predict(
        [
            ("a", "1", 0, (0.6, 0.4)),
            ("b", "2", 0, (0.9, 0.1)),
            ("c", "3", 0, (0.2, 0.8)),
            ("d", "4", 1, (0.3, 0.7)),
            ("e", "5", 0, (0.7, 0.3)),
        ]
    )
    chosen = choose_films(predictions, films_per_class=2)
    assert [(each.row, each.predicted, each.why) for each in chosen] == [
        (1, 0, "most confident right"),
        (4, 0, "most confident right"),
        (2, 1, "most confident wrong"),
        (3, 1, "most confident right"),
    ]


def test_a_patient_stands_once_with_the_most_confident_film() -> None:
    predictions = _predict(
        [("a", "1", 0, (0.8, 0.2)), ("b", "1", 0, (0.9, 0.1)), ("c", "2", 0, (0.6, 0.4))]
    )
    assert [each.row for each in choose_films(predictions, films_per_class=2)] == [1, 2]


def test_equal_confidence_goes_by_image_id() -> None:
    predictions = _predict([("b", "1", 0, (0.9, 0.1)), ("a", "2", 0, (0.9, 0.1))])
    assert [each.row for each in choose_films(predictions, films_per_class=1)] == [1]


def test_films_without_a_known_class_are_passed_over() -> None:
    assert choose_films(_predict([("a", "1", -1, (0.9, 0.1))]), films_per_class=3) == ()
