"""Films and classes that somebody asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import ConfigError, RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.explain.asked import choose_asked, find_class, run_explain_asked
from cxresnet.explain.choice import Choice
from cxresnet.metrics.classification import Judged
from cxresnet.predict import Predictions

NAMES = ("normal", "covid-19")
IMAGE_IDS = ("a/one.png", "b/one.png", "b/two.png")


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
def judged(predictions: Predictions) -> Judged:
    return Judged(
        class_names=NAMES,
        truth=predictions.truth,
        predicted=predictions.logits.argmax(axis=1),
        probabilities=predictions.probabilities,
    )


def _choose(
    judged: Judged, predictions: Predictions, *image_ids: str, explained: int | None = None
) -> tuple[Choice, ...]:
    return choose_asked(
        judged, predictions, image_ids=image_ids, explained=explained, films_per_class=2
    )


def test_a_film_is_found_by_its_id_and_by_a_file_name_that_is_clear(
    judged: Judged, predictions: Predictions
) -> None:
    found = _choose(judged, predictions, "b/one.png", "two.png", "b/two.png")
    assert [(choice.row, choice.why, choice.explained) for choice in found] == [
        (1, "asked for", 1),
        (2, "asked for", 0),
    ]


def test_the_class_asked_for_is_explained_whatever_the_network_says(
    judged: Judged, predictions: Predictions
) -> None:
    (found,) = _choose(judged, predictions, "two.png", explained=1)
    assert (found.predicted, found.explained) == (0, 1)


def test_without_a_film_those_of_the_report_are_explained(
    judged: Judged, predictions: Predictions
) -> None:
    found = _choose(judged, predictions, explained=1)
    assert {choice.row for choice in found} == {0, 1, 2}
    assert {choice.explained for choice in found} == {1}


def test_a_file_name_that_two_films_have_is_refused(
    judged: Judged, predictions: Predictions
) -> None:
    with pytest.raises(RunFolderError, match=r"2 films .* 'one\.png'.*--film 'a/one\.png'"):
        _choose(judged, predictions, "one.png")


def test_an_unknown_film_is_refused_with_the_nearest(
    judged: Judged, predictions: Predictions
) -> None:
    with pytest.raises(RunFolderError, match=r"no film 'a/on\.png'.*Did you mean 'a/one\.png'"):
        _choose(judged, predictions, "a/on.png")


def test_a_class_has_many_names_and_an_unknown_one_is_refused() -> None:
    assert find_class("covid", NAMES) == find_class("COVID-19", NAMES) == 1
    with pytest.raises(ConfigError, match=r"no class 'flu'.*normal, covid-19"):
        find_class("flu", NAMES)


def test_before_the_test_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cxresnet evaluate"):
        run_explain_asked(RunFolder(tmp_path), config=ExplainConfig())
