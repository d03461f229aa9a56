"""Two runs on the same images: differences, tests, verdict, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxresnet.cli.compare import describe_auroc_test
from cxresnet.core.checksums import record_checksums
from cxresnet.core.config import EvaluateConfig
from cxresnet.core.errors import DatasetError, RunFolderError
from cxresnet.core.files import read_json, write_json
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.split.groups import join_groups
from cxresnet.evaluate.comparison import Comparison, ScorePair, compare_runs
from cxresnet.evaluate.from_predictions import evaluate_predictions
from cxresnet.evaluate.record import write_evaluation
from cxresnet.evaluate.topic import build_difference, estimate
from cxresnet.metrics.classification import HEADLINE_SCORES, build_headline_statistics
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.paired import compute_delong
from cxresnet.predict import Predictions, write_predictions
from cxresnet.predict.decision import apply_operating_point, build_plain_operating_point

Draw = Callable[..., Predictions]


def _write_run(path: Path, table: Predictions, config: EvaluateConfig) -> RunFolder:
    run = RunFolder(path)
    write_predictions(run.predictions, table)
    write_evaluation(run.metrics, evaluate_predictions(table, config=config))
    return run


def _compare(
    tmp_path: Path, first: Predictions, second: Predictions, config: EvaluateConfig
) -> Comparison:
    runs = [
        _write_run(tmp_path / name, table, config)
        for name, table in (("strong", first), ("weak", second))
    ]
    return compare_runs(*runs, config=config)


def _by_name(found: Comparison) -> dict[str, ScorePair]:
    return {score.name: score for score in found.scores}


def _count_right(table: Predictions) -> np.ndarray:
    return table.logits.argmax(axis=1) == table.truth


@pytest.mark.slow
def test_a_clearly_better_run_is_called_better_whichever_comes_first(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    strong, weak = draw_predictions(300, skill=3.0), draw_predictions(300, skill=1.0, seed=1)
    found = _compare(tmp_path, strong, weak, config)
    scores = _by_name(found)
    accuracy = scores["accuracy"]
    right = [_count_right(table) for table in (strong, weak)]
    assert accuracy.first.value == pytest.approx(right[0].mean())
    assert accuracy.second.value == pytest.approx(right[1].mean())
    assert accuracy.difference.value == pytest.approx(right[0].mean() - right[1].mean())
    assert found.only_first_correct == (right[0] & ~right[1]).sum()
    assert found.only_second_correct == (right[1] & ~right[0]).sum()
    assert found.mcnemar_p_value < 1e-6
    assert [test.class_name for test in found.auroc_tests] == list(found.class_names)
    assert all(test.p_value < 0.01 for test in found.auroc_tests)
    assert found.verdict.startswith("strong is better than weak on these images")
    assert "Other scores differ: strong is higher in accuracy (by 0." in found.verdict
    assert "weak is higher" not in found.verdict
    back = compare_runs(RunFolder(tmp_path / "weak"), RunFolder(tmp_path / "strong"), config=config)
    assert back.verdict.startswith("strong is better than weak on these images")
    assert back.verdict.partition("Other")[2] == found.verdict.partition("Other")[2]
    difference = _by_name(back)["accuracy"].difference
    assert difference.value == pytest.approx(-accuracy.difference.value)


@pytest.mark.slow
def test_two_runs_of_equal_skill_cannot_be_told_apart(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    found = _compare(tmp_path, draw_predictions(300), draw_predictions(300, seed=1), config)
    assert found.verdict.startswith("No difference is shown on these images")
    assert "is not ruled out" in found.verdict
    assert "Other scores" not in found.verdict


@pytest.mark.slow
def test_what_balanced_accuracy_does_not_see_is_said_of_the_others(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    """Both find the same images; the probabilities of one know nothing of the order within them."""
    table = draw_predictions(300)
    shaken = table.logits.astype(np.float64)
    order = np.argsort(shaken, axis=1)
    flat = np.zeros_like(shaken)
    np.put_along_axis(flat, order[:, -1:], 0.1, axis=1)
    found = _compare(tmp_path, table, dataclasses.replace(table, logits=flat), config)
    assert found.verdict.startswith("No difference is shown")
    assert "strong is higher in macro AUROC (by 0." in found.verdict
    assert "accuracy (" not in found.verdict


@pytest.mark.slow
def test_a_run_is_as_good_as_itself(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    found = _compare(tmp_path, draw_predictions(), draw_predictions(), config)
    assert (found.only_first_correct, found.only_second_correct) == (0, 0)
    assert found.mcnemar_p_value == 1.0
    assert {test.p_value for test in found.auroc_tests} == {1.0}
    assert found.verdict == ("No difference is shown: both runs have the same balanced accuracy.")


@pytest.mark.slow
@pytest.mark.parametrize(("images", "said"), [(54, "there are 9 and 18."), (60, "")])
def test_a_class_of_few_patients_gets_no_p_value_and_one_sentence_that_says_why(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path, images: int, said: str
) -> None:
    # Two images a patient, three classes: 9 or 10 patients with each class.
    found = _compare(tmp_path, draw_predictions(images), draw_predictions(images, seed=1), config)
    for test in found.auroc_tests:
        assert (test.p_value is None) == bool(said)
        assert test.reason.endswith(said)
        shown = describe_auroc_test(test)
        assert ("p = " in shown) == (not said)
        assert ("No p-value is given: the test needs at least 10 patients" in shown) == bool(said)


@pytest.mark.slow
def test_the_intervals_of_one_run_are_those_of_its_evaluation(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions()
    found = _by_name(_compare(tmp_path, table, table, config))
    headline = evaluate_predictions(table, config=config).headline
    assert found["accuracy"].first == headline.accuracy
    assert found["balanced_accuracy"].second == headline.balanced_accuracy


@pytest.mark.slow
def test_pairing_the_images_makes_the_interval_narrower_than_two_tests_apart(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions(300, skill=1.0)
    noise = np.random.default_rng(2).normal(0, 0.2, table.logits.shape)
    alike = dataclasses.replace(table, logits=(table.logits + noise).astype(np.float32))
    score = _by_name(_compare(tmp_path, table, alike, config))["macro_auroc"]
    apart = np.hypot(*(one.high - one.low for one in (score.first, score.second)))
    assert score.difference.high - score.difference.low < 0.6 * apart


@pytest.mark.slow
def test_images_and_classes_in_another_order_are_the_same_images(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions()
    order = np.random.default_rng(0).permutation(len(table))
    columns = [2, 0, 1]

    def take(column: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column[row] for row in order)

    turned = Predictions(
        image_ids=take(table.image_ids),
        patient_ids=take(table.patient_ids),
        group_ids=take(table.group_ids),
        sources=take(table.sources),
        truth=np.argsort(columns)[table.truth[order]],
        logits=table.logits[order][:, columns],
        class_names=tuple(table.class_names[column] for column in columns),
    )
    found = _compare(tmp_path, table, turned, config)
    assert (found.only_first_correct, found.only_second_correct) == (0, 0)
    assert all(score.difference.value == pytest.approx(0) for score in found.scores)


def _build_groups(table: Predictions, other: Predictions) -> np.ndarray:
    _, numbers = np.unique(np.array(other.group_ids), return_inverse=True)
    return join_groups(table.group_ids, numbers).astype(str)


@pytest.mark.slow
def test_patients_of_either_run_are_drawn_whole_and_within_their_class(
    draw_unkind_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    """The second run's dataset knows of more copies, and lists the images in another order."""
    table = draw_unkind_predictions()
    noise = np.random.default_rng(3).normal(0, 0.8, table.logits.shape)
    more = tuple(str(int(group) // 2 * 2) for group in table.group_ids)
    other = dataclasses.replace(
        table, logits=(table.logits + noise).astype(np.float32), group_ids=more
    )
    order = np.random.default_rng(4).permutation(len(table))
    texts = ("image_ids", "patient_ids", "group_ids", "sources")
    turned = dataclasses.replace(
        other,
        truth=other.truth[order],
        logits=other.logits[order],
        **{name: tuple(getattr(other, name)[row] for row in order) for name in texts},
    )
    found = _compare(tmp_path, table, turned, config)
    groups = _build_groups(table, other)
    assert found.patients == len(set(groups)) < len(set(table.group_ids))

    plain = build_plain_operating_point(3)
    first, second = (apply_operating_point(one, plain) for one in (table, other))
    ours, theirs = (
        dict(zip(HEADLINE_SCORES, build_headline_statistics(evaluated), strict=True))
        for evaluated in (first, second)
    )
    lift = build_difference("x", ours=ours["accuracy"], theirs=theirs["accuracy"])

    def compute(strata: np.ndarray | None) -> Estimate:
        options = {"group_ids": groups.tolist(), "strata": strata}
        return estimate([lift], config=config, **options)["x"]

    assert _by_name(found)["accuracy"].difference == compute(table.truth) != compute(None)
    for index, test in enumerate(found.auroc_tests):
        expected = compute_delong(
            table.truth == index,
            first.probabilities[:, index],
            second.probabilities[:, index],
            groups=groups,
        )
        assert (test.difference, test.error) == pytest.approx((expected.difference, expected.error))


@pytest.mark.slow
def test_each_run_is_judged_at_its_own_operating_point(
    draw_unkind_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_unkind_predictions()
    point = build_plain_operating_point(3).model_copy(update={"weights": (0.3, 0.9, 1.8)})
    runs = [_write_run(tmp_path / name, table, config) for name in ("plain", "weighted")]
    weighted = evaluate_predictions(table, config=config, operating_point=point)
    write_evaluation(runs[1].metrics, weighted)
    accuracy = _by_name(compare_runs(*runs, config=config))["accuracy"]
    assert accuracy.first.value == pytest.approx(_count_right(table).mean())
    assert accuracy.second.value == pytest.approx(weighted.headline.accuracy.value)
    assert accuracy.difference.value != 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trained_on", "accesses", "said"),
    [
        (("a", "a"), (1, 1), []),
        (("a", "b"), (1, None), ["trained on datasets that were prepared differently"]),
        (("a", "a"), (1, 3), ["The held-out test set was opened 3 times"]),
    ],
)
def test_what_makes_a_comparison_unfair_is_said(
    draw_predictions: Draw,
    config: EvaluateConfig,
    tmp_path: Path,
    trained_on: tuple[str, str],
    accesses: tuple[int | None, int | None],
    said: list[str],
) -> None:
    runs = [_write_run(tmp_path / name, draw_predictions(30), config) for name in "xy"]
    for run, dataset, count in zip(runs, trained_on, accesses, strict=True):
        content = read_json(run.metrics)
        content["provenance"] |= {"trained_on": dataset, "accesses": count}
        write_json(run.metrics, content)
        record_checksums(run.metrics)
    warnings = compare_runs(*runs, config=config).warnings
    assert len(warnings) == len(said)
    for warning, part in zip(warnings, said, strict=True):
        assert part in warning


@pytest.mark.slow
def test_other_images_are_refused_with_their_number(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions()
    with pytest.raises(DatasetError, match="20 images of 'strong' are not among those of 'weak'"):
        _compare(tmp_path, table, table.select(np.arange(120) < 100), config)


@pytest.mark.slow
def test_other_labels_are_refused(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions()
    truth = table.truth.copy()
    truth[:3] = 2
    with pytest.raises(DatasetError, match=r"different labels in the two runs \(3 of 120\)"):
        _compare(tmp_path, table, dataclasses.replace(table, truth=truth), config)


@pytest.mark.slow
def test_other_classes_are_refused(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    table = draw_predictions()
    renamed = dataclasses.replace(table, class_names=("normal", "pneumonia", "tuberculosis"))
    with pytest.raises(DatasetError, match="have different classes"):
        _compare(tmp_path, table, renamed, config)


def test_a_run_without_an_evaluation_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cxresnet evaluate RUN"):
        compare_runs(RunFolder(tmp_path), RunFolder(tmp_path), config=EvaluateConfig())


@pytest.mark.slow
def test_runs_of_the_same_folder_name_are_named_with_their_parents(
    draw_predictions: Draw, config: EvaluateConfig, tmp_path: Path
) -> None:
    runs = [
        _write_run(tmp_path / name / "run", draw_predictions(), config) for name in ("old", "new")
    ]
    found = compare_runs(*runs, config=config)
    assert (found.first, found.second) == ("old/run", "new/run")
