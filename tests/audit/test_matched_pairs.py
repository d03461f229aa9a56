"""Pairs that agree in tone and source: worth nothing to a model that goes by the tone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.matching import (
    draw_unmatched_pairs,
    find_matched_pairs,
    measure_images,
    rank_by,
)
from cxresnet.audit.questions.matched_pairs import answer_matched_pairs, rank_pairs
from cxresnet.core.config import Config
from cxresnet.core.config.audit import AuditConfig
from cxresnet.data.dataset.dataset import ImageSet

PATIENTS = 240
CLASS_NAMES = ("normal", "covid-19")


class ToneModel:
    """Goes by the mean grey of the image."""

    class_names = CLASS_NAMES

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return _answer(np.asarray(images).mean(axis=(1, 2)) - 120, 8)

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)


class SpotModel(ToneModel):
    """Goes by what the class is: in covid-19 the middle is brighter than what surrounds it."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        values = np.asarray(images, dtype=np.float64)
        return _answer(values[:, 6:10, 6:10].mean(axis=(1, 2)) - values.mean(axis=(1, 2)) - 20, 5)


def _answer(evidence: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    covid = 1 / (1 + np.exp(-evidence / unit))
    return np.column_stack([1 - covid, covid])


Build = Callable[..., AuditContext]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an audit of images in which tone and a spot show the class; called with a model."""

    def build_context(model: object, **columns: object) -> AuditContext:
        generator = np.random.default_rng(5)
        labels = np.arange(PATIENTS) % 2
        tone = generator.normal(110 + 20 * labels, 12)
        images = generator.normal(tone[:, None, None], 10, size=(PATIENTS, 16, 16))
        images[:, 6:10, 6:10] += 40 * labels[:, None, None]
        manifest = pd.DataFrame(
            {
                "source": ["north" if number % 4 < 2 else "south" for number in range(PATIENTS)],
                "group_id": np.arange(PATIENTS),
                "view": "PA",
                "sex": "",
                "age_years": "50",
                **columns,
            }
        )
        return AuditContext(
            model=cast("Any", model),
            dataset=cast("Any", None),
            test=ImageSet(images.clip(0, 255).astype(np.uint8), labels, manifest),
            settings=Config(audit=AuditConfig(bootstrap_resamples=100)),
            folder=tmp_path,
        )

    return build_context


@pytest.mark.slow
def test_a_model_that_goes_by_the_tone_is_red(build: Build) -> None:
    answer = answer_matched_pairs(build(ToneModel()))
    assert answer.verdict == "red"
    matched, tone, unmatched = answer.measures[:3]
    assert matched.n == unmatched.n >= 20
    assert tone.name == "AUROC of what is left of the tone"
    assert cast("float", unmatched.value) > cast("float", matched.value) == tone.value


@pytest.mark.slow
def test_a_model_that_goes_by_the_disease_is_green_and_its_pairs_are_shown(build: Build) -> None:
    answer = answer_matched_pairs(build(SpotModel()))
    assert answer.verdict == "green"
    assert cast("float", answer.measures[0].low) > 0.8
    ((name, caption, picture),) = answer.pictures
    assert name == "matched_pairs-pairs.png"
    assert f"All {answer.measures[0].n} pairs are ranked correctly" in caption
    assert picture.width < picture.height


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source": ["north", "south"] * (PATIENTS // 2)}, "no source has images of two classes"),
        ({"view": ["PA", "AP"] * (PATIENTS // 2)}, "0 agree in source and view; without view th"),
        ({"age_years": ["9", "10"] * (PATIENTS // 2)}, "0 agree in source, view, sex and age band"),
        ({"age_years": ["", "10"] * (PATIENTS // 2)}, "age band; without age band there are"),
    ],
)
def test_where_no_pairs_exist_the_requirement_that_leaves_none_is_named(
    build: Build, columns: dict[str, object], message: str
) -> None:
    with pytest.raises(CannotBeTestedError, match=message):
        answer_matched_pairs(build(SpotModel(), **columns))


def test_pairs_agree_in_all_requirements_and_hold_each_image_once() -> None:
    generator = np.random.default_rng(0)
    count = 120
    manifest = pd.DataFrame(
        {
            "source": generator.choice(["north", "south"], count),
            "view": generator.choice(["AP", "PA"], count),
            "sex": generator.choice(["F", "M", ""], count),
            "age_years": generator.choice(["", "41", "48", "52"], count),
        }
    )
    pixels = generator.integers(0, 255, (count, 8, 8)).astype(np.uint8)
    images = measure_images(manifest, pixels, generator.integers(0, 3, count))
    pairs = find_matched_pairs(images, tolerance_sd=0.5)
    assert len(pairs) > 5
    taken = [number for pair in pairs for number in pair]
    assert len(set(taken)) == len(taken)
    for one, other in pairs:
        assert images.labels[one] != images.labels[other]
        assert images.sources[one] == images.sources[other]
        assert images.views[one] == images.views[other]
        assert {images.sexes[one], images.sexes[other]} != {"F", "M"}
        assert images.age_bands[one] == images.age_bands[other]
        assert abs(images.tone[one] - images.tone[other]) <= 0.5
        assert abs(images.sharpness[one] - images.sharpness[other]) <= 0.5


def test_pairs_at_random_are_of_the_same_classes_and_hold_each_image_once() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    pairs = [(0, 1), (2, 3), (4, 5)]
    drawn = draw_unmatched_pairs(labels, pairs, generator=np.random.default_rng(0))
    assert [(labels[a], labels[b]) for a, b in drawn] == [(0, 1), (2, 0), (1, 2)]
    assert len({number for pair in drawn for number in pair}) == 6


def test_pairs_are_ranked_by_the_class_with_the_higher_mean() -> None:
    values, labels = np.array([1.0, 3.0, 2.0, 2.0]), np.array([0, 1, 0, 1])  # means 1.5 and 2.5
    assert rank_by(values, labels, [(0, 1), (1, 2), (2, 3)]).tolist() == [1.0, 1.0, 0.5]
    assert rank_by(-values, labels, [(0, 1)]).tolist() == [1.0]


def test_answers_of_exactly_one_are_still_ranked() -> None:
    # p / (p + q) is 1.0 for both in floating point; the second is the more certain one.
    answers = np.array([[1.0, 1e-20], [1.0, 1e-30]])
    assert rank_pairs(answers, np.array([1, 0]), [(0, 1)]).tolist() == [1.0]
    assert rank_pairs(answers, np.array([0, 1]), [(0, 1)]).tolist() == [0.0]
