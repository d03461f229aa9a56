from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.shortcuts import baseline as baseline_module
from cxresnet.shortcuts.baseline import BaselinePredictions, BaselineRule, predict_baselines

DrawImageSets = Callable[..., dict[str, ImageSet]]

CLASSES = ("normal", "pneumonia", "covid-19")


@pytest.fixture(autouse=True)
def _grow_small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(baseline_module.BASELINE_FOREST, trees=50)
    monkeypatch.setattr(baseline_module, "BASELINE_FOREST", few)


def _ask(dataset: dict[str, ImageSet]) -> tuple[dict[str, BaselinePredictions], np.ndarray]:
    evaluated = dataset["val"]
    answers = predict_baselines(dataset["train"], [evaluated], class_count=3, seed=0)
    return {answer.rule.name: answer for answer in answers}, evaluated.labels


def _score(answer: BaselinePredictions, labels: np.ndarray) -> float:
    assert answer.probabilities is not None
    return float((answer.probabilities.argmax(axis=1) == labels).mean())


@pytest.mark.slow
def test_every_rule_gives_probabilities(draw_image_sets: DrawImageSets) -> None:
    answers, labels = _ask(draw_image_sets())
    assert list(answers) == ["majority", "source", "record", "file", "border", "thumbnail"]
    for answer in answers.values():
        assert answer.probabilities is not None
        assert answer.probabilities.shape == (len(labels), 3)
        np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1)
        assert (answer.probabilities >= 0).all()


@pytest.mark.slow
def test_the_thumbnail_rule_sees_brightness_and_the_others_do_not(
    draw_image_sets: DrawImageSets,
) -> None:
    answers, labels = _ask(draw_image_sets())
    assert _score(answers["thumbnail"], labels) == 1.0
    assert _score(answers["majority"], labels) == pytest.approx(1 / 3)
    assert _score(answers["file"], labels) < 0.7
    assert _score(answers["record"], labels) < 0.7


@pytest.mark.slow
def test_the_border_rule_sees_the_border_and_nothing_within(draw_image_sets: DrawImageSets) -> None:
    dataset = draw_image_sets()
    images = dataset["train"].images
    generator = np.random.default_rng(0)

    def score(inside: bool) -> float:
        sets = []
        for split in ("train", "val"):
            chosen = dataset[split]
            marked = generator.integers(0, 256, chosen.images.shape, dtype=np.uint8)
            brightness = (60 + 60 * chosen.labels).astype(np.uint8)[:, None, None]
            if inside:
                marked[:, 8:-8, 8:-8] = brightness
            else:
                marked[:, :2] = brightness
            sets.append(replace(chosen, images=marked))
        answers = predict_baselines(sets[0], sets[1:], class_count=3, seed=0)
        border = next(answer for answer in answers if answer.rule.name == "border")
        return _score(border, sets[1].labels)

    assert images.shape[1:] == (32, 32)
    assert score(inside=False) == 1.0
    assert score(inside=True) < 0.75


@pytest.mark.slow
def test_the_source_rule_finds_a_class_that_has_a_source_of_its_own(
    draw_image_sets: DrawImageSets,
) -> None:
    label = (np.arange(78) // 2) % 3
    sources = ["north" if value < 2 else "clinic" for value in label]
    answers, labels = _ask(draw_image_sets(source=sources))
    probabilities = answers["source"].probabilities
    assert probabilities is not None
    # "clinic" holds class 2 only; in "north" classes 0 and 1 are equally typical.
    np.testing.assert_allclose(probabilities[labels == 2], [[0, 0, 1]] * (labels == 2).sum())
    np.testing.assert_allclose(probabilities[labels < 2], [[0.5, 0.5, 0]] * (labels < 2).sum())


@pytest.mark.slow
def test_the_source_rule_weighs_classes_equally(draw_image_sets: DrawImageSets) -> None:
    # Training: 30 images of class 0, half of them "north"; 6 of class 1, 4 of them "north"; none of
    # class 2. North is typical of class 0 by 15/30 and of class 1 by 4/6: 3/7 and 4/7.
    names = ["normal"] * 30 + ["pneumonia"] * 6 + ["normal"] * 42
    sources = ["north", "south"] * 15 + ["north"] * 4 + ["south"] * 2 + ["north"] * 42
    answers, _ = _ask(draw_image_sets(class_name=names, source=sources))
    probabilities = answers["source"].probabilities
    assert probabilities is not None
    np.testing.assert_allclose(probabilities, np.tile([3 / 7, 4 / 7, 0], (len(probabilities), 1)))
    assert answers["majority"].probabilities is not None
    np.testing.assert_allclose(answers["majority"].probabilities[0], [5 / 6, 1 / 6, 0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "values"),
    [("file_format", ("PNG", "JPEG", "DICOM")), ("file_mode", ("L", "RGB", "I;16"))],
)
def test_the_file_rule_finds_a_class_that_has_a_format_of_its_own(
    draw_image_sets: DrawImageSets,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    values: tuple[str, ...],
) -> None:
    _keep_rules(monkeypatch, "file")
    label = (np.arange(78) // 2) % 3
    given = {column: [values[value] for value in label]}
    answers, labels = _ask(draw_image_sets(**given))
    assert _score(answers["file"], labels) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("view", ["PA", "AP", ""]),
        ("sex", ["F", "M", ""]),
        ("age_years", ["5", "40", "80"]),
    ],
)
def test_the_record_rule_finds_a_class_that_is_recorded_in_its_own_way(
    draw_image_sets: DrawImageSets,
    column: str,
    values: list[str],
) -> None:
    label = (np.arange(78) // 2) % 3
    silent = {"view": [""] * 78, "sex": [""] * 78, "age_years": [""] * 78}
    told = {**silent, column: [values[value] for value in label]}
    answers, labels = _ask(draw_image_sets(**told))
    assert _score(answers["record"], labels) == 1.0
    assert _score(answers["file"], labels) < 0.7


@pytest.mark.slow
def test_a_source_or_a_format_never_seen_in_training_is_no_error(
    draw_image_sets: DrawImageSets,
) -> None:
    training = draw_image_sets()["train"]
    count = 78
    elsewhere = draw_image_sets(
        source=["moon"] * count,
        file_format=["TIFF"] * count,
        view=["from above"] * count,
        age_years=[""] * count,
        seed=1,
    )
    images = [elsewhere["train"], elsewhere["val"]]
    answers = predict_baselines(training, images, class_count=3, seed=0)
    for answer in answers:
        assert answer.probabilities is not None
        assert len(answer.probabilities) == len(images[0]) + len(images[1])
    np.testing.assert_allclose(answers[1].probabilities, 1 / 3)


def test_a_rule_that_has_nothing_to_go_by_says_so(draw_image_sets: DrawImageSets) -> None:
    same = {
        "file_width": [600] * 78,
        "file_bytes": [9000] * 78,
        "source": ["north"] * 78,
        "view": [""] * 78,
        "age_years": [""] * 78,
    }
    answers, _ = _ask(draw_image_sets(**same))
    assert answers["source"].probabilities is None
    assert answers["source"].reason == "All training images come from one source."
    assert answers["record"].probabilities is None
    assert answers["record"].reason == (
        "View, sex and age are unknown, or alike, for all training images."
    )
    assert answers["file"].probabilities is None
    assert answers["file"].reason == "The files of all training images are alike."


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answer_and_many_images_are_thinned_out(
    draw_image_sets: DrawImageSets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = draw_image_sets()
    monkeypatch.setattr(baseline_module, "_MAX_TRAINING_IMAGES", 20)
    once, _ = _ask(dataset)
    again, _ = _ask(dataset)
    for name, answer in once.items():
        np.testing.assert_array_equal(answer.probabilities, again[name].probabilities)


def _keep_rules(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    rules = tuple(rule for rule in baseline_module.BASELINES if rule.name in names)
    monkeypatch.setattr(baseline_module, "BASELINES", rules)


def test_training_images_are_drawn_at_random_and_stay_with_their_facts(
    draw_image_sets: DrawImageSets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = draw_image_sets()
    training = dataset["train"]
    evaluated = [dataset["val"], training]
    seen = []

    def look(learnt: Any, asked: Any, class_count: int, seed: int) -> str:
        seen.append((learnt, asked, class_count, seed))
        return "Only looking."

    rules = tuple(BaselineRule(name, name, name, look) for name in ("one", "two"))
    monkeypatch.setattr(baseline_module, "BASELINES", rules)
    monkeypatch.setattr(baseline_module, "_MAX_TRAINING_IMAGES", 20)
    predict_baselines(training, evaluated, class_count=3, seed=0)
    predict_baselines(training, evaluated, class_count=3, seed=1)
    (learnt, asked, class_count, seed), second, third, _ = seen
    assert class_count == 3
    assert len({seed, second[3], third[3]}) == 3

    places = {name: row for row, name in enumerate(training.manifest["image_id"])}
    rows = [places[name] for name in learnt.facts["image_id"]]
    assert len(set(rows)) == 20
    assert rows != list(range(20))
    assert learnt.labels.tolist() == training.labels[rows].tolist()
    for row, thumbnail, border in zip(rows, learnt.thumbnails, learnt.borders, strict=True):
        image = np.asarray(training.images[row], dtype=np.float64)
        assert thumbnail == pytest.approx(
            image.reshape(16, 2, 16, 2).mean(axis=(1, 3)).ravel(), abs=1
        )
        assert border.shape == (30 * 30 - 24 * 24,)
    assert second[0].facts["image_id"].tolist() == learnt.facts["image_id"].tolist()
    assert third[0].facts["image_id"].tolist() != learnt.facts["image_id"].tolist()
    names = [name for one in evaluated for name in one.manifest["image_id"]]
    assert asked.facts["image_id"].tolist() == names


@pytest.mark.slow
def test_rules_that_learn_weigh_the_classes_equally(
    draw_image_sets: DrawImageSets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files, records and pictures know nothing; 28 of 36 training images are of one class."""
    _keep_rules(monkeypatch, "majority", "record", "file")
    names = [CLASSES[max(number % 9 - 6, 0)] for number in range(78)]
    generator = np.random.default_rng(0)
    dataset = draw_image_sets(
        class_name=names,
        file_width=generator.integers(500, 502, 78).tolist(),
        age_years=[str(age) for age in generator.integers(30, 32, 78)],
    )
    answers, _ = _ask(dataset)
    assert answers["majority"].probabilities[:, 0] == pytest.approx(28 / 36)
    for name in ("record", "file"):
        assert answers[name].probabilities[:, 0].mean() < 0.55


def test_a_class_that_training_lacks_gets_no_probability(
    draw_image_sets: DrawImageSets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _keep_rules(monkeypatch, "majority", "source", "thumbnail")
    names = ["normal" if number % 4 < 2 else "covid-19" for number in range(54)]
    answers, _ = _ask(draw_image_sets(class_name=[*names, *["pneumonia"] * 24]))
    for answer in answers.values():
        assert not answer.probabilities[:, 1].any()
        assert answer.probabilities[:, 2].any()
