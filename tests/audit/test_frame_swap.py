"""Question 6: swapped lungs tell a model that reads lungs from one that reads a corner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.swap import compute_opacity, move_map, swap_lungs
from cxresnet.audit.experiments.swapped_images import (
    build_recipes,
    find_swapped_images,
    pair_classes,
)
from cxresnet.audit.question import QuestionAnswer
from cxresnet.audit.questions import frame_swap
from cxresnet.audit.questions.frame_swap import answer_frame_swap, build_frame_part
from cxresnet.audit.scorecard import FOLLOWS_LUNGS
from cxresnet.explain.lungs import ImageLungs
from cxresnet.metrics.statistic import compute_value

BuildAudit = Callable[..., AuditContext]

FRAME = "Decision follows the frame"
PART = "Part of the probability of covid-19 that the frame carries"


def build_lungs(left: int, top: int, *, width: int = 16, height: int = 40) -> ImageLungs:
    """Two rectangles, 30 columns apart, on 96 × 96 pixels."""
    lungs = []
    for start in (left, left + 30):
        lung = np.zeros((96, 96), bool)
        lung[top : top + height, start : start + width] = True
        lungs.append(lung)
    return ImageLungs(lungs[0], lungs[1], "dataset")


def find_value(answer: QuestionAnswer, name: str) -> float:
    value = next(one.value for one in answer.measures if one.name == name)
    assert value is not None
    return value


# How an image is altered.


def test_lungs_come_from_the_donor_and_the_frame_stays_the_hosts() -> None:
    host, donor = np.full((96, 96), 200, np.uint8), np.full((96, 96), 40, np.uint8)
    lungs = build_lungs(22, 24)
    swapped = swap_lungs(host, lungs, donor, lungs)
    assert swapped.dtype == np.uint8
    assert (swapped[34:54, 28:32] == 40).all()
    assert (swapped[:12] == 200).all()
    assert (swapped[:, 90:] == 200).all()
    # The edge is soft: no step of the whole difference between two neighbours.
    assert np.abs(np.diff(swapped.astype(int), axis=0)).max() < 100


def test_an_image_with_its_own_lungs_stays_as_it_is() -> None:
    image = np.random.default_rng(2).integers(0, 256, (96, 96)).astype(np.uint8)
    lungs = build_lungs(22, 24)
    assert (swap_lungs(image, lungs, image, lungs) == image).all()


def test_a_spot_in_the_donors_lung_lands_at_the_same_place_of_the_hosts_lung() -> None:
    # The donor's lung is half as high, lies elsewhere, and has a spot in its middle.
    host_lungs, donor_lungs = build_lungs(22, 24), build_lungs(10, 50, width=12, height=20)
    donor = np.zeros((96, 96), np.uint8)
    donor[58:62, 14:18] = 255  # around row 60, column 16
    swapped = swap_lungs(np.zeros((96, 96), np.uint8), host_lungs, donor, donor_lungs)
    rows, columns = np.nonzero(swapped > 127)
    assert rows.mean() == pytest.approx(44, abs=1.5)
    assert columns.mean() == pytest.approx(30, abs=1.5)
    moved = move_map(donor.astype(np.float32), host_lungs, donor_lungs)
    assert np.unravel_index(moved.argmax(), moved.shape)[0] == pytest.approx(44, abs=4)
    assert (moved[host_lungs.mask == 0] == 0).all()


def test_each_lung_comes_from_the_same_side() -> None:
    lungs = build_lungs(22, 24)
    donor = np.zeros((96, 96), np.uint8)
    donor[:, :45] = 200
    swapped = swap_lungs(np.full((96, 96), 100, np.uint8), lungs, donor, lungs)
    assert swapped[44, 30] == 200
    assert swapped[44, 60] == 0


def test_the_edge_of_a_finding_at_the_pleura_comes_along() -> None:
    lung = build_lungs(22, 24).right_lung
    opacity = compute_opacity(lung)
    assert opacity[lung].min() > 0.3  # at the corners; more along the edges
    assert opacity[44, 22:38].min() > 0.6
    assert opacity[44, 10] < 0.01


# Which images are swapped.


def test_each_image_is_in_one_pair_at_most_and_all_classes_meet() -> None:
    labels = np.repeat([0, 1, 2], 10)
    pairs = pair_classes(labels, most=100, generator=np.random.default_rng(0))
    used = [place for pair in pairs for place in pair]
    assert len(pairs) == 15
    assert len(set(used)) == 30
    classes = [tuple(labels[list(pair)].tolist()) for pair in pairs]
    assert {one: classes.count(one) for one in set(classes)} == {(0, 1): 5, (0, 2): 5, (1, 2): 5}
    assert pair_classes(np.zeros(9, int), most=9, generator=np.random.default_rng(0)) == []


def test_lungs_and_frame_of_each_class_meet_equally_often() -> None:
    predicted = np.array([0, 1, 0, 1, 0, 2])
    recipes = build_recipes([(0, 1), (2, 3), (4, 5)], predicted=predicted)
    found = {(one.donor, one.host): one for one in recipes}
    swaps = {key for key, one in found.items() if not one.is_control}
    assert swaps == {(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)}
    assert set(found) - swaps == {(0, 2), (2, 0), (1, 3), (3, 1)}
    assert len({found[key].block for key in ((0, 1), (2, 3), (0, 2), (3, 1))}) == 1
    assert found[4, 5].block != found[0, 1].block
    assert len({one.pair for one in recipes}) == 5


# What is found.


@pytest.mark.slow
def test_a_model_that_reads_lungs_is_green(build_audit: BuildAudit, lung_model: Any) -> None:
    answer = answer_frame_swap(build_audit(lung_model))
    assert answer.verdict == "green"
    assert find_value(answer, FOLLOWS_LUNGS) == 1
    assert find_value(answer, FRAME) == 0
    assert find_value(answer, PART) == pytest.approx(0, abs=0.05)
    assert [name for name, *_ in answer.pictures] == ["frame_swap-follows-lungs.png"]


@pytest.mark.slow
def test_a_model_that_reads_a_corner_is_red(build_audit: BuildAudit, corner_model: Any) -> None:
    answer = answer_frame_swap(build_audit(corner_model))
    assert answer.verdict == "red"
    assert find_value(answer, FOLLOWS_LUNGS) == 0
    assert find_value(answer, f"{FRAME}, covid-19 or not") == 1
    assert find_value(answer, PART) == pytest.approx(1, abs=0.05)
    assert "frame_swap-follows-frame.png" in [name for name, *_ in answer.pictures]


@dataclass(frozen=True)
class MixedModel:
    """The mean of two models' probabilities, the second weighted by `share`."""

    one: Any
    two: Any
    share: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.one, name)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        mixed: NDArray[np.float64] = (1 - self.share) * self.one.predict(
            images
        ) + self.share * self.two.predict(images)
        return mixed


@pytest.mark.slow
def test_the_part_that_the_frame_carries_grows_with_the_dose(
    build_audit: BuildAudit, lung_model: Any, corner_model: Any
) -> None:
    answers = [
        answer_frame_swap(build_audit(MixedModel(lung_model, corner_model, share), swaps=18))
        for share in (0.3, 0.7)
    ]
    parts = [find_value(answer, PART) for answer in answers]
    assert parts == pytest.approx([0.3, 0.7], abs=0.05)
    assert [answer.verdict for answer in answers] == ["amber", "red"]


@dataclass(frozen=True)
class UnsteadyModel:
    """Another model, but an image whose mean grey changed gets an arbitrary class."""

    model: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        images = np.asarray(images)
        if len(images) == 60:  # the test images as they are
            return np.asarray(self.model.predict(images))
        labels = np.asarray(images).astype(int).sum(axis=(1, 2)) % 3
        return np.eye(3)[labels]


@pytest.mark.slow
def test_a_class_with_too_few_pairs_is_named(
    build_audit: BuildAudit, lung_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_swap, "MIN_PAIRS", 10**6)
    answer = answer_frame_swap(build_audit(lung_model))
    assert "Not measured, for too few pairs: normal (" in answer.sentence
    assert "of 1000000 pairs), pneumonia (" in answer.sentence


@pytest.mark.slow
def test_a_model_that_swapping_itself_disturbs_cannot_be_tested(
    build_audit: BuildAudit, lung_model: Any
) -> None:
    with pytest.raises(CannotBeTestedError, match=r"decision stays in \d+ % of \d+ swaps"):
        answer_frame_swap(build_audit(UnsteadyModel(lung_model), swaps=18))


def test_one_answer_for_all_images_cannot_be_tested(
    build_audit: BuildAudit, lung_model: Any
) -> None:
    context = build_audit(lung_model)
    object.__setattr__(context, "predicted", np.zeros(60, np.int64))
    with pytest.raises(CannotBeTestedError, match="0 pairs only"):
        find_swapped_images(context)


def test_the_frames_part_by_hand() -> None:
    # Class lungs in class frame 0.9, in another 0.7; other lungs in class frame 0.3, in another
    # 0.1: the frame adds 0.2, both together 0.8.
    statistic = build_frame_part(
        "c",
        np.array([0.9, 0.7, 0.3, 0.1, 0.5]),
        has_lungs=np.array([1, 1, 0, 0, 1], bool),
        has_frame=np.array([1, 0, 1, 0, 1], bool),
        among=np.array([1, 1, 1, 1, 0], bool),
    )
    assert compute_value(statistic) == pytest.approx(0.25)
