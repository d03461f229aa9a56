from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext
from cxresnet.audit.experiments.dose_curves import (
    STRENGTHS,
    find_half_strength,
    read_dose_curves,
    resample_half_strength,
)
from cxresnet.audit.model import Images, Probabilities
from cxresnet.audit.question import QuestionAnswer
from cxresnet.audit.questions.dose_response import answer_dose_response
from cxresnet.audit.scorecard import describe_measure
from cxresnet.core.config import AuditConfig, Config
from cxresnet.core.finding import Finding, Measure
from cxresnet.data.dataset.dataset import ImageSet

SIDE = 64
LUNGS = np.s_[:, 24:44, 14:24]
MIDDLE = np.s_[:, 24:44, 29:35]
CORNER = np.s_[:, 4:11, 4:9]


def compare_places(images: Images, place: Any, than: Any) -> NDArray[np.float64]:
    return np.asarray(images[place].mean(axis=(1, 2)) - images[than].mean(axis=(1, 2)))


def see_lungs(images: Images) -> NDArray[np.float64]:
    return compare_places(images, LUNGS, MIDDLE)


def see_corner(images: Images) -> NDArray[np.float64]:
    return compare_places(images, CORNER, MIDDLE) + 40


def see_edge(images: Images) -> NDArray[np.float64]:
    return compare_places(images, np.s_[:, :3], MIDDLE) + 55


def see_tone(images: Images) -> NDArray[np.float64]:
    return np.asarray(80.0 - images[MIDDLE].mean(axis=(1, 2)))


def see_softness(images: Images) -> NDArray[np.float64]:
    return np.asarray(5 - np.abs(np.diff(images.astype(float), axis=2)).mean(axis=(1, 2))) * 20


@dataclass(frozen=True)
class Toy:
    """Decides on "covid-19" where what it sees is above 0."""

    see: Any
    name: str = "toy"
    class_names: tuple[str, ...] = ("normal", "covid-19")
    content: str = "toy"
    predictor: None = None
    network: None = None

    def predict(self, images: Images) -> Probabilities:
        share = 1 / (1 + np.exp(-np.clip(self.see(np.asarray(images)), -300, 300) / 10))
        return np.stack([1 - share, share], axis=1)

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        raise NotImplementedError

    def compute_features(self, images: Images) -> None:
        return None


def draw_images(count: int) -> NDArray[np.uint8]:
    """Draw images whose lungs are darker (even numbers) or brighter (odd) than what is between."""
    generator = np.random.default_rng(5)
    images = np.full((count, SIDE, SIDE), 110.0)
    for left in (12, 38):
        images[:, 18:50, left : left + 14] = np.array([70, 150])[np.arange(count) % 2][
            :, None, None
        ]
    images[:, :16] = 30
    return (images + generator.normal(0, 6, images.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def answer(request: pytest.FixtureRequest, tmp_path: Path) -> QuestionAnswer:
    count = 40
    manifest = pd.DataFrame({"group_id": range(count), "source": ["here"] * count})
    context = AuditContext(
        model=Toy(request.param),
        dataset=cast("Any", None),
        test=ImageSet(draw_images(count), np.arange(count) % 2, manifest),
        settings=Config(audit=AuditConfig(bootstrap_resamples=200, altered_images=40)),
        folder=tmp_path,
    )
    return answer_dose_response(context)


def find(answer: QuestionAnswer, name: str) -> Measure:
    return next(one for one in answer.measures if one.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [see_lungs], indirect=True)
def test_a_model_that_reads_the_lungs_is_green(answer: QuestionAnswer) -> None:
    assert answer.verdict == "green", answer.sentence
    assert "Marker: 0 % (0–9 %) of the answers change at strength 1." in answer.sentence
    half = find(answer, "Strength that changes half of the answers, marker")
    assert half.value is None
    assert describe_measure(half).endswith(
        "marker: more than 1: at full strength fewer than half of the answers change"
    )


@pytest.mark.slow
@pytest.mark.parametrize("answer", [see_corner], indirect=True)
def test_a_model_that_reads_the_corner_is_red_for_the_marker(answer: QuestionAnswer) -> None:
    assert answer.verdict == "red"
    said = "Marker: 100 % (91–100 %) of the answers change at strength 1, half of all at 0.30 ("
    assert said in answer.sentence
    assert "40 of the 40 that were not covid-19 turn to it" in answer.sentence
    half = find(answer, "Strength that changes half of the answers, marker")
    # The corner is 80 below the middle and may be 40 below. Of its 35 pixels 18 belong to the
    # letter: at 0.2 they add 0.2 · 225 · 18 / 35 = 23, at 0.4 they add 46.
    assert half.value == pytest.approx(0.3, abs=0.001)
    assert (half.low, half.high) == pytest.approx((0.3, 0.3), abs=0.001)
    most = find(answer, "Share of answers changed by marker, at most")
    assert (most.value, most.note) == (1, "marker at strength 0.4")
    ((name, caption, _),) = answer.pictures
    assert name == "dose_response-strengths.png"
    assert "a marker of growing strength" in caption


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "name", "kind"),
    [
        (see_edge, "Thin frame", "border"),
        (see_tone, "Darker tone", "tone"),
        (see_softness, "Blur", "blur"),
    ],
    indirect=["answer"],
)
def test_every_kind_that_draws_the_answers_is_amber_by_name(
    answer: QuestionAnswer, name: str, kind: str
) -> None:
    assert answer.verdict == "amber"  # only the marker can be red: the rest may be fragility
    assert f"{name}: 100 % (" in answer.sentence
    assert "half of all at 0.3" in answer.sentence
    assert "Marker" not in answer.sentence
    assert find(answer, f"Share of answers changed by {kind}, at most").value == 1


@pytest.mark.slow
@pytest.mark.parametrize("answer", [see_corner], indirect=True)
def test_the_curves_are_read_back_from_the_finding(answer: QuestionAnswer) -> None:
    finding = Finding(
        question="dose_response",
        title="",
        verdict=answer.verdict,
        sentence=answer.sentence,
        measures=answer.measures,
    )
    curves = read_dose_curves(finding)
    assert len(curves) == 7
    assert curves[0].shortcut == "marker"
    assert curves[0].strengths == STRENGTHS
    assert [share.value for share in curves[0].shares] == [0, 1, 1, 1, 1]


def test_half_is_found_between_two_steps_or_not_at_all() -> None:
    shares = np.array([[0.5, 1, 1, 1, 1], [0, 0, 0, 0, 0.5], [0, 0.6, 0.2, 0.9, 1], [0.4] * 5])
    found = find_half_strength(shares)
    # From 0 at 0.2 to 0.6 at 0.4 half is reached at 0.2 + 0.2 · 5/6.
    np.testing.assert_allclose(found, [0.2, 1, 0.2 + 1 / 6, np.inf])


def test_the_interval_of_the_strength_widens_with_fewer_patients() -> None:
    def estimate(count: int) -> tuple[float, float, float]:
        thresholds = np.linspace(0.05, 1.2, count)
        changed = np.array(STRENGTHS)[:, None] >= thresholds
        found = resample_half_strength(changed, resamples=2000, generator=np.random.default_rng(0))
        assert found.low < found.value < found.high <= found.strict_high
        return found.low, found.value, found.high

    wide, narrow = estimate(20), estimate(500)
    # The median threshold is 0.625; steps put up to a fifth of it off.
    assert narrow[1] == pytest.approx(0.625, abs=0.12)
    assert wide[2] - wide[0] > 3 * (narrow[2] - narrow[0])
