"""The first screen: verdict, main numbers, one map, and reasons for doubt."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from cxresnet.audit.scorecard import Scorecard
from cxresnet.core.config import ModelConfig
from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut
from cxresnet.evaluate.record import Evaluation
from cxresnet.explain.record import Attributions
from cxresnet.metrics.estimate import Estimate
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.model.presets import build_model
from cxresnet.report.artifacts import DatasetArtifacts, RunArtifacts
from cxresnet.report.report import render_report
from cxresnet.report.summary import (
    build_first_screen,
    build_headline_cards,
    choose_picture,
    describe_run,
    describe_verdict,
)


def test_every_card_has_the_number_and_the_best_rule_beside_it(evaluation: Evaluation) -> None:
    cards = build_headline_cards(evaluation)
    assert [card.title for card in cards] == [
        "Balanced accuracy",
        "Accuracy",
        "Macro AUROC",
        "Macro F1",
    ]
    assert all(card.estimate.n == 1234 for card in cards)
    assert all(card.baseline == 0.8 for card in cards)
    assert cards[0].difference is not None
    assert (cards[0].difference.value, cards[0].baseline_title) == (0.1, "Source alone")
    assert cards[2].difference is None


def test_without_a_best_rule_there_is_none_beside(evaluation: Evaluation) -> None:
    alone = evaluation.model_copy(update={"best_baseline": None})
    assert alone.find_best_baseline() is None
    assert all(card.baseline is None for card in build_headline_cards(alone))


def test_a_run_is_described_as_far_as_it_is_done(
    history: pd.DataFrame, checkpoint_record: CheckpointRecord
) -> None:
    assert describe_run(RunArtifacts(name="new")) == ""
    model = build_model(ModelConfig(preset="nano"), class_count=2)
    artifacts = RunArtifacts(name="n", model=model, record=checkpoint_record, history=history)
    assert "trained from scratch for 3 epochs in 1 min 15 s." in describe_run(artifacts)


# The verdict, in one sentence.


def _with_difference(evaluation: Evaluation, low: float, high: float) -> Evaluation:
    best, *others = evaluation.baselines
    difference = Estimate(value=(low + high) / 2, low=low, high=high, n=9, groups=9)
    best = best.model_copy(update={"balanced_accuracy_difference": difference})
    return evaluation.model_copy(update={"baselines": (best, *others)})


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (0.02, 0.2, "green", "performs better than the best shortcut baseline"),
        (-0.1, 0.1, "amber", "is not shown to perform better than the best shortcut baseline"),
        (-0.2, -0.1, "red", "performs worse than the best shortcut baseline"),
    ],
)
def test_the_verdict_is_the_comparison_with_the_best_baseline(
    evaluation: Evaluation, low: float, high: float, verdict: str, words: str
) -> None:
    artifacts = RunArtifacts(name="r", evaluation=_with_difference(evaluation, low, high))
    found, sentence = describe_verdict(artifacts)
    assert found == verdict
    assert words in sentence
    assert sentence.endswith("; no external test has been run.")


def test_after_an_external_test_the_verdict_does_not_miss_it(
    evaluation: Evaluation, external: ExternalTest
) -> None:
    artifacts = RunArtifacts(name="r", evaluation=evaluation, externals=(external,))
    assert "external" not in describe_verdict(artifacts)[1]


def test_before_the_test_there_is_no_verdict() -> None:
    assert describe_verdict(RunArtifacts(name="r"))[0] == "grey"


def test_a_red_flag_makes_the_verdict_red(evaluation: Evaluation) -> None:
    first = build_first_screen(RunArtifacts(name="r", evaluation=evaluation))
    assert first.red_flags == evaluation.red_flags
    assert first.verdict == "red"
    assert "do not rely on the model before the point below is explained" in first.sentence


def test_a_red_audit_makes_the_verdict_red_and_heads_the_doubts(
    evaluation: Evaluation, scorecard: Scorecard
) -> None:
    better = _with_difference(evaluation, 0.02, 0.2).model_copy(update={"red_flags": ()})
    first = build_first_screen(RunArtifacts(name="r", evaluation=better, audit=scorecard))
    assert first.verdict == "red"
    assert "performs better" in first.sentence
    assert "but the audit is red: do not rely on the model" in first.sentence
    assert first.warnings[0].title == "What the model goes by"
    assert "in 9 % of swaps. Red because of question 6." in first.warnings[0].sentence

    doubtful = scorecard.model_copy(update={"verdict": "amber"})
    first = build_first_screen(RunArtifacts(name="r", evaluation=better, audit=doubtful))
    assert first.verdict == "green"


@pytest.mark.slow
def test_a_perfect_score_on_drawings_is_a_caveat_and_no_red_flag(
    evaluation: Evaluation, dataset_artifacts: DatasetArtifacts
) -> None:
    drawn = dataset_artifacts.manifest.assign(
        source=["phantom-a" if row % 2 else "phantom-b" for row in range(12)]
    )
    data = dataclasses.replace(dataset_artifacts, manifest=drawn, findings=())
    first = build_first_screen(
        RunArtifacts(name="r", evaluation=evaluation, dataset_artifacts=data)
    )
    assert first.red_flags == ()
    assert first.verdict == "amber"
    assert first.sentence.endswith("this says nothing about patients.")
    assert first.warnings[0].title == "Drawings, not patients"
    (caveat,) = [one for one in first.warnings if "expected of drawings" in one.title]
    assert caveat.verdict == "grey"
    assert evaluation.red_flags[0].sentence in caveat.sentence
    html = render_report(RunArtifacts(name="r", evaluation=evaluation, dataset_artifacts=data))
    assert 'class="red-flag"' not in html
    assert 'class="notice red"' not in html


def test_other_red_flags_stay_red_on_drawings(
    evaluation: Evaluation, dataset_artifacts: DatasetArtifacts
) -> None:
    flag = evaluation.red_flags[0].model_copy(update={"rule": "baseline_as_good"})
    flagged = evaluation.model_copy(update={"red_flags": (flag,)})
    drawn = dataset_artifacts.manifest.assign(source="phantom-a")
    data = dataclasses.replace(dataset_artifacts, manifest=drawn)
    first = build_first_screen(RunArtifacts(name="r", evaluation=flagged, dataset_artifacts=data))
    assert first.red_flags == (flag,)


def test_scores_of_external_tests_stand_on_the_cards(
    evaluation: Evaluation, left_out: LeaveSourcesOut, external: ExternalTest
) -> None:
    artifacts = RunArtifacts(name="r", left_out=left_out, externals=(external,))
    accuracy, _, ranking, _ = build_headline_cards(evaluation, artifacts)
    assert accuracy.externals == ()
    ((name, estimate),) = [(one.name, one.estimate) for one in ranking.externals]
    assert name == "sources left out, mean"
    assert estimate == left_out.mean[0].external


def test_the_picture_is_a_correct_one_with_a_disease_where_there_is_one(
    attributions: Attributions,
) -> None:
    wrong, normal = attributions.index.images
    right = wrong.model_copy(update={"true_class": wrong.predicted_class})
    for images, chosen in (((wrong, normal), normal), ((normal, right), right)):
        index = attributions.index.model_copy(update={"images": images})
        picture = choose_picture(dataclasses.replace(attributions, index=index))
        assert picture is not None
        assert picture.record == chosen
    empty = attributions.index.model_copy(update={"images": ()})
    assert choose_picture(dataclasses.replace(attributions, index=empty)) is None
