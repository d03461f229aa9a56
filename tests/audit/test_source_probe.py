"""A model whose features are the source, and one whose features are not; answers of both kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.sources_within_class import (
    compute_association,
    find_comparable_sources,
)
from cxresnet.audit.questions.source_probe import answer_source_probe
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.data.dataset.dataset import ImageSet

PATIENTS = 240
CLASS_NAMES = ("normal", "covid-19")


@dataclass(frozen=True)
class TableModel:
    """Looks its answers and features up; the first two pixels hold the number of an image."""

    answers: NDArray[np.float64]
    features: NDArray[np.float32] | None
    class_names: tuple[str, ...] = CLASS_NAMES

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.answers[_read_numbers(images)]

    def compute_features(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        return None if self.features is None else self.features[_read_numbers(images)]


def _read_numbers(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return images[:, 0, 0].astype(np.int64) * 256 + images[:, 0, 1]


Build = Callable[..., AuditContext]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an audit of drawn answers.

    Called with how much features and answers follow the source, and with each image's source.
    """

    def build_context(
        *,
        in_features: float,
        in_answers: float,
        sources: NDArray[np.str_] | None = None,
        spread: float = 1.5,
    ) -> AuditContext:
        generator = np.random.default_rng(3)
        numbers = np.arange(PATIENTS)
        labels = numbers % 2
        if sources is None:
            sources = np.array(["north", "south", "west"])[numbers // 2 % 3]
        sign = np.where(sources == "north", 1.0, -1.0)
        features = generator.normal(size=(PATIENTS, 3)).astype(np.float32)
        features[:, 0] += 3 * in_features * sign
        # The same spread in each source and class: 30 images hold each combination equally often.
        logit = 2 + np.linspace(-spread, spread, PATIENTS // 30)[numbers // 30] + in_answers * sign
        own = 1 / (1 + np.exp(-logit))
        answers = np.column_stack([np.where(labels == 0, own, 1 - own)] * 2)
        answers[:, 1] = 1 - answers[:, 0]
        images = np.zeros((PATIENTS, 4, 4), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = numbers // 256, numbers % 256
        manifest = pd.DataFrame(
            {
                "source": sources,
                "group_id": numbers,
                "class_name": np.array(CLASS_NAMES)[labels],
                "split": "test",
            }
        )
        model = TableModel(answers, None if in_features < 0 else features)
        return AuditContext(
            model=cast("Any", model),
            dataset=cast("Any", SimpleNamespace(manifest=manifest)),
            test=ImageSet(images, labels, manifest),
            settings=Config(audit=AuditConfig(bootstrap_resamples=100)),
            folder=tmp_path,
        )

    return build_context


@pytest.mark.slow
def test_features_without_the_source_are_green(build: Build) -> None:
    answer = answer_source_probe(build(in_features=0, in_answers=0))
    assert answer.verdict == "green"
    assert answer.measures[0].value == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_features_with_the_source_that_the_answers_do_not_follow_are_green(build: Build) -> None:
    answer = answer_source_probe(build(in_features=1, in_answers=0))
    assert answer.verdict == "green"
    assert "do not follow" in answer.sentence


@pytest.mark.slow
def test_answers_that_follow_a_source_in_the_features_are_red(build: Build) -> None:
    answer = answer_source_probe(build(in_features=1, in_answers=1.5))
    assert answer.verdict == "red"
    assert "the answers follow it" in answer.sentence
    low = answer.measures[0].low
    assert low is not None
    assert low > 0.7


@pytest.mark.slow
def test_a_source_that_predicts_the_class_is_red_unless_answers_are_alike(build: Build) -> None:
    numbers = np.arange(PATIENTS)
    mostly = np.where(numbers % 20 < 18, numbers % 2, 1 - numbers % 2)
    sources = np.array(["north", "south"])[mostly]
    unsure = build(in_features=1, in_answers=0.3, sources=sources, spread=4)
    followed = answer_source_probe(unsure)
    assert (followed.verdict, followed.measures[-1].value) == ("red", pytest.approx(0.8, abs=0.02))
    assert "can use the one for the other" in followed.sentence
    alike = answer_source_probe(build(in_features=1, in_answers=0, sources=sources))
    assert alike.verdict == "amber"
    assert "may rest on it" in alike.sentence


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["north"], "All images come from one source"),
        (["north", "south"], "nothing can distinguish the disease from the source"),
    ],
)
def test_where_there_is_nothing_to_compare_the_reason_is_given(
    build: Build, names: list[str], message: str
) -> None:
    sources = np.array(names)[np.arange(PATIENTS) % 2 % len(names)]
    context = build(in_features=1, in_answers=1, sources=sources)
    with pytest.raises(CannotBeTestedError, match=message):
        answer_source_probe(context)


def test_a_model_without_features_is_not_tested(build: Build) -> None:
    with pytest.raises(CannotBeTestedError, match="gives no features"):
        answer_source_probe(build(in_features=-1, in_answers=0))


def test_eight_patients_of_each_of_two_sources_are_enough_and_seven_are_not() -> None:
    labels, groups = np.zeros(16, np.int64), np.arange(16).astype(str)
    sources = np.repeat(["north", "south"], 8)
    assert find_comparable_sources(labels, sources, groups) == {0: ("north", "south")}
    twice = np.array(["0", "0", *groups[2:]])
    assert find_comparable_sources(labels, sources, twice) == {}


def test_many_small_sources_are_not_mistaken_for_confounding() -> None:
    # 40 sources of 10 patients, drawn independently of the class: V is sqrt(39 / 400) = 0.31 on
    # average, and must not count as an association.
    generator = np.random.default_rng(0)
    patients = pd.DataFrame(
        {
            "source": [f"source {number % 40}" for number in range(400)],
            "class_name": generator.choice(["normal", "covid-19"], 400),
            "group_id": np.arange(400),
        }
    )
    found = compute_association(patients)
    assert found is not None
    assert found < 0.2
