"""Classes told apart on sources left out: by hand, and against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.data.split.source_folds import SourceFold, SourceTask
from cxresnet.evaluate.generalisation_gap import EvaluatedSide
from cxresnet.evaluate.source_tasks import ABSTAINED, FoldPredictions, measure_tasks
from cxresnet.metrics.classification import ClassifiedImages

CLASSES = ("normal", "covid-19")
WITHIN = SourceTask(("covid-19", "normal"), ("a", "a"))
ACROSS = SourceTask(("covid-19", "normal"), ("a", "b"))


def _build_fold(*sources: str, tasks: tuple[SourceTask, ...]) -> SourceFold:
    return SourceFold(
        sources=sources,
        images=0,
        patients=0,
        classes=CLASSES,
        compared=CLASSES,
        tasks=tasks,
        reason="",
    )


def _build(
    rows: list[tuple[str, int, float]],
    *tasks: SourceTask,
    seeds: int = 1,
    decided: list[int] | None = None,
    baselines: dict[str, list[float]] | None = None,
    name: str = "",
) -> FoldPredictions:
    """Rows are (source, true class, probability of covid-19), each image a patient of its own."""
    sources, truth, scores = (np.array(column) for column in zip(*rows, strict=True))
    side = EvaluatedSide(
        evaluated=ClassifiedImages(
            class_names=CLASSES,
            truth=truth,
            predicted=truth,
            probabilities=np.stack([1 - scores, scores], axis=1),
        ),
        image_ids=tuple(f"{name}{number}" for number in range(len(rows))),
        group_ids=tuple(f"{name}{number}" for number in range(len(rows))),
    )
    choices = np.array(decided if decided is not None else truth)
    return FoldPredictions(
        fold=_build_fold(*dict.fromkeys(sources.tolist()), tasks=tasks),
        sources=sources,
        networks=(side,) * seeds,
        decided=(choices,) * seeds,
        baselines={
            title: np.stack([1 - np.array(one), np.array(one)], axis=1)
            for title, one in (baselines or {}).items()
        },
    )


# By hand: covid-19 of a scores 0.9, 0.8, 0.3; normal of a 0.4, 0.2 and of b 0.85, 0.1, 0.1.
ROWS = [
    ("a", 1, 0.9), ("a", 1, 0.8), ("a", 1, 0.3), ("a", 0, 0.4), ("a", 0, 0.2),
    ("b", 0, 0.85), ("b", 0, 0.1), ("b", 0, 0.1),
]  # fmt: skip


def test_by_hand_the_images_of_each_class_come_from_the_source_of_the_task(
    config: EvaluateConfig,
) -> None:
    found = measure_tasks([_build(ROWS, WITHIN, ACROSS)], config=config)
    within, across = found.scores[0]
    # Within a, covid-19 is above normal in 2 + 2 + 1 of 6 pairs; across in 3 + 2 + 2 of 9.
    assert (within.auroc.value, within.auroc.n) == (pytest.approx(5 / 6), 5)
    assert (across.auroc.value, across.auroc.n) == (pytest.approx(7 / 9), 6)
    assert (within.sources, across.sources) == (("a", "a"), ("a", "b"))
    assert within.title == "covid-19 against normal"
    assert within.baseline_auroc is within.difference is None
    (mean,) = found.mean_scores
    assert mean.auroc.value == pytest.approx((5 / 6 + 7 / 9) / 2)
    assert (mean.sources, mean.sets) == ((), 1)


def test_sources_that_are_in_several_sets_count_once_in_the_mean(config: EvaluateConfig) -> None:
    reverse = [(source, truth, 1 - score) for source, truth, score in ROWS]
    folds = [_build(ROWS, WITHIN), _build(reverse, WITHIN), _build(ROWS, ACROSS)]
    (mean,) = measure_tasks(folds, config=config).mean_scores
    # Within a: 5/6 and 1/6, so 1/2; across 7/9.
    assert mean.auroc.value == pytest.approx((1 / 2 + 7 / 9) / 2)
    assert mean.sets == 3


def test_the_best_baseline_stands_beside_and_the_difference_is_paired(
    config: EvaluateConfig,
) -> None:
    scores = [score for *_, score in ROWS]
    baselines = {"worse": [1 - one for one in scores], "same": scores}
    found = measure_tasks([_build(ROWS, WITHIN, baselines=baselines)], config=config)
    ((task,),) = found.scores
    assert (task.baseline, task.baseline_auroc) == ("same", task.auroc)
    assert task.difference is not None
    # The same on every resample: there is nothing to vary.
    assert (task.difference.value, task.difference.low) == (0, None)


def test_wrong_definite_answers_are_shares_of_all_images(config: EvaluateConfig) -> None:
    decided = [1, 0, ABSTAINED, 0, 0, 1, ABSTAINED, 0]
    found = measure_tasks([_build(ROWS, WITHIN, decided=decided)], config=config)
    (shares,) = found.decisions
    assert (shares.wrong.value, shares.abstained.value) == (2 / 8, 2 / 8)
    assert found.mean_decisions.wrong.value == 2 / 8


def test_of_several_seeds_each_is_given_and_the_mean_counts(config: EvaluateConfig) -> None:
    one = _build(ROWS, WITHIN)
    other = _build([(source, truth, 1 - score) for source, truth, score in ROWS], WITHIN)
    both = FoldPredictions(
        fold=one.fold,
        sources=one.sources,
        networks=one.networks + other.networks,
        decided=(*one.decided, 1 - other.decided[0]),
        baselines={},
    )
    found = measure_tasks([both], config=config)
    ((task,),) = found.scores
    assert task.by_seed == pytest.approx((5 / 6, 1 / 6))
    assert task.auroc.value == pytest.approx(1 / 2)
    assert found.decisions[0].wrong.value == pytest.approx(1 / 2)


def test_a_difference_in_skill_has_an_interval_that_shows_it(config: EvaluateConfig) -> None:
    generator = np.random.default_rng(0)
    rows = [
        ("a", n % 2, float(0.5 + 0.3 * (n % 2 - 0.5) + generator.normal(0, 0.1))) for n in range(80)
    ]
    useless = {"useless": generator.random(80).tolist()}
    ((task,),) = measure_tasks([_build(rows, WITHIN, baselines=useless)], config=config).scores
    assert task.difference is not None
    assert task.difference.low is not None
    assert task.difference.low > 0.1
