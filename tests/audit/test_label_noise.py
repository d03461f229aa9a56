"""Contradicted labels: planted wrong ones are found first, and no label is called wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cxresnet.audit.context import CannotBeTestedError
from cxresnet.audit.questions import label_noise
from cxresnet.audit.questions.label_noise import (
    LABEL_NOISE_NAME,
    answer_label_noise,
    compute_thresholds,
    find_contradictions,
    grade_share,
)
from cxresnet.core.files import write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.manifest import read_safe_csv
from cxresnet.metrics.estimate import Estimate
from cxresnet.predict.predictions import Predictions, write_predictions
from drawn_images import CLASS_NAMES, build_context, split_in_three

SIDE_PX = 16


def test_confident_learning_by_hand() -> None:
    # Mean probability of the own class: (0.9 + 0.5) / 2 = 0.7 and (0.6 + 0.2) / 2 = 0.4.
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.6], [0.8, 0.2]])
    labels = np.array([0, 0, 1, 1])

    thresholds = compute_thresholds(probabilities, labels)
    found = find_contradictions(probabilities, labels, thresholds=thresholds)

    assert thresholds.tolist() == pytest.approx([0.7, 0.4])
    # The second is above the threshold of class 1 alone; the fourth above that of class 0.
    assert found.suggested.tolist() == [0, 1, 1, 0]
    assert found.margin.tolist() == pytest.approx([0.8, 0.0, 0.2, -0.6])
    assert found.rank(labels).tolist() == [3, 1]


def test_an_image_of_which_no_class_is_likely_is_not_contradicted() -> None:
    probabilities = np.array([[0.34, 0.33, 0.33]])
    found = find_contradictions(probabilities, np.array([1]), thresholds=np.array([0.8, 0.8, 0.8]))
    assert found.suggested.tolist() == [1]


def test_a_class_without_images_is_never_suggested() -> None:
    probabilities = np.array([[0.1, 0.9], [0.0, 1.0]])
    labels = np.array([0, 0])
    thresholds = compute_thresholds(probabilities, labels)
    assert find_contradictions(probabilities, labels, thresholds=thresholds).suggested.max() == 0


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.04, "green"),
        (0.03, 0.09, "green"),
        (0.03, 0.12, "amber"),
        (0.06, 0.09, "amber"),
        (0.5, 0.9, "amber"),
    ],
)
def test_the_lights_are_never_red(low: float, high: float, verdict: str) -> None:
    share = Estimate(value=(low + high) / 2, low=low, high=high, n=400, groups=200)
    assert grade_share(share) == verdict


# The whole question, with a logistic regression for the small networks.


class _Lines:
    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._fitted = LogisticRegression(C=1.0, max_iter=200)
        self._fitted.fit(images.reshape(len(images), -1) / 64.0 - 1.5, labels)

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._fitted.predict_proba(images.reshape(len(images), -1) / 64.0 - 1.5)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The images that each network learnt from."""
    seen: list[set[str]] = []

    def train(context: Any, name: str, learned: Any, **_: object) -> _Lines:
        seen.append(set(learned.manifest["image_id"]))
        return _Lines(learned.images, learned.labels)

    monkeypatch.setattr(label_noise, "train_small_network", train)
    monkeypatch.setattr(
        label_noise, "predict_small", lambda network, images: network.predict(images)
    )
    return seen


def _draw_sets(*, wrong: int, strength: float = 45.0, count: int = 300) -> tuple[Any, set[str]]:
    """Draw images with a bright third by class, and give some of them another label."""
    generator = np.random.default_rng(7)
    shown = generator.integers(0, 3, count)
    images = generator.normal(90, 20, (count, SIDE_PX, SIDE_PX))
    for image, label in zip(images, shown, strict=True):
        image[5 * label : 5 * label + 5] += strength
    labels = shown.copy()
    labels[:wrong] = (labels[:wrong] + 1) % 3
    sets = split_in_three(images.clip(0, 255).astype(np.uint8), labels, np.arange(count) // 2)
    pixels = {image.tobytes() for image in images[:wrong].clip(0, 255).astype(np.uint8)}
    names = {
        one.manifest["image_id"][row]
        for one in sets.values()
        for row in range(len(one))
        if one.images[row].tobytes() in pixels
    }
    return sets, names


def test_eight_planted_wrong_labels_are_among_the_first_twelve(
    trained: list[set[str]], tmp_path: Path
) -> None:
    sets, planted = _draw_sets(wrong=8)
    context = build_context(sets, tmp_path, audit__bootstrap_resamples=200)

    answer = answer_label_noise(context)

    names, columns = read_safe_csv(tmp_path / LABEL_NOISE_NAME)
    assert names == ["image_id", "label", "suggested", "probability"]
    assert len(planted) == 8
    assert planted <= set(columns[0][:12])
    assert answer.verdict == "green"  # 8 of 300 are few
    assert [name for name, _, _ in answer.pictures] == ["label_noise-gallery.png"]
    assert "no proof" in answer.sentence


@pytest.mark.slow
def test_many_wrong_labels_are_amber(trained: list[set[str]], tmp_path: Path) -> None:
    sets, _ = _draw_sets(wrong=45)
    context = build_context(sets, tmp_path, audit__bootstrap_resamples=200)
    assert answer_label_noise(context).verdict == "amber"


def test_no_network_learns_from_the_test_or_from_a_patient_that_it_is_asked_about(
    trained: list[set[str]], tmp_path: Path
) -> None:
    sets, _ = _draw_sets(wrong=0)
    context = build_context(sets, tmp_path, audit__bootstrap_resamples=100, audit__label_folds=4)

    answer_label_noise(context)

    learned = {name for split in ("train", "val") for name in sets[split].manifest["image_id"]}
    assert len(trained) == 4
    assert set.union(*trained) == learned
    assert not set.intersection(*trained)
    patient_of = {
        name: patient
        for one in sets.values()
        for name, patient in zip(one.manifest["image_id"], one.manifest["group_id"], strict=True)
    }
    for seen in trained:
        assert not {patient_of[one] for one in seen} & {patient_of[one] for one in learned - seen}


@pytest.mark.slow
def test_networks_that_learn_nothing_contradict_nothing(
    trained: list[set[str]], tmp_path: Path
) -> None:
    sets, _ = _draw_sets(wrong=0, strength=0)
    context = build_context(sets, tmp_path, audit__bootstrap_resamples=100)
    with pytest.raises(CannotBeTestedError, match="are too weak"):
        answer_label_noise(context)


def test_the_cross_validation_of_the_run_is_used_where_there_is_one(
    trained: list[set[str]], tmp_path: Path
) -> None:
    sets, _ = _draw_sets(wrong=0)
    run = RunFolder(tmp_path / "run")
    learned = [sets["train"], sets["val"]]
    names = [name for one in learned for name in one.manifest["image_id"]]
    labels = np.concatenate([one.labels for one in learned])
    logits = 4 * np.eye(3, dtype=np.float32)[labels]
    logits[5] = 6 * np.eye(3, dtype=np.float32)[(labels[5] + 1) % 3]
    blank = ("",) * len(names)
    table = Predictions(
        image_ids=tuple(names),
        patient_ids=blank,
        group_ids=tuple(names),
        sources=blank,
        truth=labels,
        logits=logits,
        class_names=CLASS_NAMES,
    )
    write_predictions(run.train / "predictions_seed-0.csv", table)
    write_json(run.train / "cross_validation.json", {})
    context = build_context(sets, tmp_path, audit__bootstrap_resamples=100)

    answer = answer_label_noise(replace(context, run=run))

    _, columns = read_safe_csv(tmp_path / LABEL_NOISE_NAME)
    assert trained == []
    assert columns[0] == [names[5]]
    assert "own cross-validation" in answer.sentence
