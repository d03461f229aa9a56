"""Internal minus external, on equal terms and with one interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate import generalisation_gap as gap_module
from cxresnet.evaluate.generalisation_gap import EvaluatedSide, measure_generalisation_gaps
from cxresnet.evaluate.results import GeneralisationGap
from cxresnet.evaluate.topic import estimate
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.statistic import Statistic
from cxresnet.predict import Predictions
from cxresnet.predict.decision import apply_operating_point, build_plain_operating_point

Draw = Callable[..., Predictions]


def _side(predictions: Predictions, name: str) -> EvaluatedSide:
    return EvaluatedSide(
        evaluated=apply_operating_point(predictions, build_plain_operating_point(3)),
        image_ids=tuple(f"{name} {image_id}" for image_id in predictions.image_ids),
        group_ids=tuple(f"{name} {group}" for group in predictions.group_ids),
    )


def _by_name(scores: tuple[GeneralisationGap, ...]) -> dict[str, GeneralisationGap]:
    return {score.name: score for score in scores}


def test_the_gap_is_internal_minus_external_and_both_are_what_judging_alone_gives(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    near, far = draw_predictions(skill=3.0), draw_predictions(90, skill=0.5, seed=1)
    found = measure_generalisation_gaps(
        {"far": (_side(near, "near"), _side(far, "far"))}, config=config
    )
    scores = _by_name(found.by_name["far"])
    assert list(scores)[:2] == ["macro_auroc", "balanced_accuracy"]
    balanced = scores["balanced_accuracy"]
    for part, table in ((balanced.internal, near), (balanced.external, far)):
        right = table.logits.argmax(axis=1) == table.truth
        expected = np.mean([right[table.truth == label].mean() for label in range(3)])
        assert part.value == pytest.approx(expected)
    for score in scores.values():
        assert score.generalisation_gap.value == pytest.approx(
            score.internal.value - score.external.value
        )
    assert balanced.generalisation_gap.low > 0.1
    assert (balanced.internal.n, balanced.external.n, balanced.generalisation_gap.n) == (
        120,
        90,
        210,
    )
    assert found.mean == ()


def test_whole_patients_are_drawn_within_their_class_and_side(
    draw_unkind_predictions: Draw, config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = (_side(draw_unkind_predictions(seed=seed), str(seed)) for seed in (0, 1))
    drawn: dict[str, Any] = {}

    def record(statistics: list[Statistic], **options: Any) -> dict[str, Estimate]:
        drawn.update(options)
        return estimate(statistics, **options)

    monkeypatch.setattr(gap_module, "estimate", record)
    scores = _by_name(
        measure_generalisation_gaps({"far": (near, far)}, config=config).by_name["far"]
    )
    assert drawn["group_ids"] == near.group_ids + far.group_ids
    label = np.concatenate([near.evaluated.truth, far.evaluated.truth])
    side = np.repeat([0, 1], [len(near.group_ids), len(far.group_ids)])
    strata = dict(
        zip(zip(label.tolist(), side.tolist(), strict=True), drawn["strata"], strict=True)
    )
    assert len(strata) == len(set(strata.values())) == 6
    assert [strata[pair] for pair in zip(label, side, strict=True)] == drawn["strata"].tolist()
    sensitivity = scores["sensitivity/covid-19"]
    for part, one in ((sensitivity.internal, near), (sensitivity.external, far)):
        own = one.evaluated.truth == 2
        groups = {group for group, shown in zip(one.group_ids, own, strict=True) if shown}
        assert (part.n, part.groups) == (own.sum(), len(groups))


@pytest.mark.slow
def test_without_a_difference_the_interval_covers_zero_as_often_as_it_says(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    covered = 0
    for seed in range(60):
        near = draw_predictions(90, skill=1.0, seed=2 * seed)
        far = draw_predictions(90, skill=1.0, seed=2 * seed + 1)
        found = measure_generalisation_gaps(
            {"far": (_side(near, "near"), _side(far, "far"))}, config=config
        )
        generalisation_gap = _by_name(found.by_name["far"])["macro_auroc"].generalisation_gap
        covered += generalisation_gap.low <= 0 <= generalisation_gap.high
    # 95 % of 60 is 57; binomial sd 1.7.
    assert covered >= 52


def test_a_class_that_is_absent_elsewhere_does_not_count_at_home_either(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    near, far = draw_predictions(skill=1.0), draw_predictions(skill=1.0, seed=1)
    far = far.select(far.truth != 2)
    found = measure_generalisation_gaps(
        {"far": (_side(near, "near"), _side(far, "far"))}, config=config
    )
    alike = measure_generalisation_gaps(
        {"far": (_side(near.select(near.truth != 2), "near"), _side(far, "far"))}, config=config
    )
    ours, theirs = (_by_name(each.by_name["far"]) for each in (found, alike))
    assert set(ours) == {
        "macro_auroc", "balanced_accuracy", "auroc/normal", "sensitivity/normal",
        "auroc/pneumonia", "sensitivity/pneumonia",
    }  # fmt: skip
    for name, score in ours.items():
        assert score.internal.value == pytest.approx(theirs[name].internal.value)


def test_one_class_elsewhere_leaves_its_sensitivity_alone(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    near, far = draw_predictions(skill=3.0), draw_predictions(skill=0.5, seed=1)
    far = far.select(far.truth == 2)
    found = measure_generalisation_gaps(
        {"far": (_side(near, "near"), _side(far, "far"))}, config=config
    )
    (score,) = found.by_name["far"]
    assert score.name == "sensitivity/covid-19"
    assert score.external.n == len(far)


def test_sides_without_a_class_in_common_cannot_be_compared(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    table = draw_predictions()
    pair = (_side(table.select(table.truth == 0), "a"), _side(table.select(table.truth == 1), "b"))
    with pytest.raises(ValueError, match="no class in common"):
        measure_generalisation_gaps({"far": pair}, config=config)


@pytest.mark.slow
def test_the_mean_gap_of_two_networks_knows_that_their_images_are_the_same(
    draw_predictions: Draw, config: EvaluateConfig
) -> None:
    near, far = draw_predictions(skill=1.0), draw_predictions(skill=1.0, seed=1)
    pair = (_side(near, "near"), _side(far, "far"))
    alone = _by_name(measure_generalisation_gaps({"one": pair}, config=config).by_name["one"])
    twice = measure_generalisation_gaps({"one": pair, "two": pair}, config=config)
    mean = _by_name(twice.mean)
    # The same images twice are no more evidence than once.
    assert mean["macro_auroc"].generalisation_gap == alone["macro_auroc"].generalisation_gap
    other = dataclasses.replace(far, logits=near.logits)
    pairs = {"one": pair, "two": (_side(near, "near"), _side(other, "else"))}
    values = measure_generalisation_gaps(pairs, config=config)
    expected = [
        _by_name(values.by_name[name])["macro_auroc"].generalisation_gap.value
        for name in ("one", "two")
    ]
    assert _by_name(values.mean)["macro_auroc"].generalisation_gap.value == pytest.approx(
        np.mean(expected)
    )
