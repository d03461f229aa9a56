from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.slices import (
    Slice,
    WorstSlice,
    build_slices,
    find_age_band,
    find_size_band,
    find_worst_slice,
)
from cxresnet.predict import Predictions
from cxresnet.predict.decision import apply_operating_point, build_plain_operating_point


def _build(
    predictions: Predictions, config: EvaluateConfig, **columns: list[str]
) -> dict[tuple[str, str], Slice]:
    slices = build_slices(
        apply_operating_point(predictions, build_plain_operating_point(3)),
        _describe(predictions, **columns),
        group_ids=predictions.group_ids,
        config=config,
    )
    return {(item.factor, item.value): item for item in slices}


def _describe(predictions: Predictions, **columns: list[str]) -> pd.DataFrame:
    facts = pd.DataFrame({"source": predictions.sources})
    unknown = {"view": "", "sex": "", "age_years": "", "file_width": 0, "file_height": 0}
    return facts.assign(**{**unknown, **columns})


def _find_worst(
    predictions: Predictions, config: EvaluateConfig, **columns: list[str]
) -> WorstSlice | None:
    evaluated = apply_operating_point(predictions, build_plain_operating_point(3))
    facts = _describe(predictions, **columns)
    slices = build_slices(evaluated, facts, group_ids=predictions.group_ids, config=config)
    return find_worst_slice(
        slices, evaluated, facts, group_ids=predictions.group_ids, config=config
    )


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "0-17"),
        ("17", "0-17"),
        ("17.9", "0-17"),
        ("18", "18-39"),
        ("39", "18-39"),
        ("40", "40-64"),
        ("64", "40-64"),
        ("65", "65+"),
        ("110", "65+"),
        ("", "unknown"),
        ("old", "unknown"),
        ("-1", "unknown"),
        ("999", "unknown"),
        ("nan", "unknown"),
    ],
)
def test_every_age_has_its_band(age: str, band: str) -> None:
    assert find_age_band(age) == band


def test_a_slice_is_what_judging_its_images_alone_gives(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions()
    slices = _build(predictions, config)
    assert set(slices) == {("source", "north"), ("source", "south")}
    north = np.array(predictions.sources) == "north"
    right = predictions.logits.argmax(axis=1) == predictions.truth
    found = slices["source", "north"]
    assert found.images == north.sum()
    assert found.patients == found.images / 2
    assert found.headline.accuracy.value == pytest.approx(right[north].mean())
    assert found.headline.accuracy.n == found.images


def test_patients_of_many_images_are_counted_once_in_a_slice_and_against_the_others(
    draw_unkind_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_unkind_predictions()
    groups, sources = np.array(predictions.group_ids), np.array(predictions.sources)
    for (_, source), one in _build(predictions, config).items():
        own = sources == source
        assert one.images == one.headline.accuracy.n == own.sum()
        assert one.patients == one.headline.accuracy.groups == len(set(groups[own]))
    worst = _find_worst(predictions, config)
    assert worst.score.generalisation_gap.n == len(predictions)
    assert worst.score.generalisation_gap.groups == len(set(groups))


def test_a_factor_with_one_value_is_no_slice(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    assert _build(draw_predictions(sources=("north",)), config, view=["PA"] * 120) == {}


def test_images_of_unknown_sex_are_a_slice_of_their_own(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    slices = _build(draw_predictions(), config, sex=["F", "M", ""] * 40)
    assert {value for factor, value in slices if factor == "sex"} == {"F", "M", "unknown"}


def test_classes_that_a_slice_lacks_are_left_out_of_its_means(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions()
    view = ["lateral" if label == 2 else "PA" for label in predictions.truth]
    slices = _build(predictions, config, view=view)
    lateral = slices["view", "lateral"].headline
    assert lateral.balanced_accuracy.value == lateral.accuracy.value
    assert lateral.macro_auroc.value is None
    assert lateral.macro_auroc.reason == "No image shows anything but covid-19."
    assert slices["view", "PA"].headline.macro_auroc.value is not None


def test_a_factor_with_very_many_values_shows_the_largest(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions(sources=tuple(f"site {number}" for number in range(20)))
    assert len(_build(predictions, config)) == 12


@pytest.mark.parametrize(
    ("width", "height", "band"),
    [
        (250, 399, "under 0.1 MP"),
        (250, 400, "0.1-0.25 MP"),
        (500, 500, "0.25-1 MP"),
        (1000, 1000, "1-4 MP"),
        (2000, 2000, "4+ MP"),
        (0, 0, "unknown"),
        (-1, -1, "unknown"),
    ],
)
def test_every_size_has_its_band(width: int, height: int, band: str) -> None:
    assert find_size_band(width, height) == band


def test_files_of_different_size_are_slices(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions()
    slices = _build(predictions, config, file_width=[200, 2000] * 60, file_height=[200, 2500] * 60)
    sizes = {value for factor, value in slices if factor == "image size"}
    assert sizes == {"under 0.1 MP", "4+ MP"}


def test_a_small_slice_says_too_few_instead_of_a_number(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions()
    # Two images a patient: 9 patients are lateral, 51 are PA.
    slices = _build(predictions, config, view=["lateral"] * 18 + ["PA"] * 102)
    assert slices["view", "lateral"].headline is None
    assert slices["view", "lateral"].reason == "Too few: 9 patients, fewer than 10."
    assert slices["view", "PA"].headline is not None
    enough = config.model_copy(update={"min_slice_patients": 9})
    slices = _build(predictions, enough, view=["lateral"] * 18 + ["PA"] * 102)
    assert slices["view", "lateral"].headline is not None


def _draw_with_a_weak_site(draw: Callable[..., Predictions], *, weak: bool) -> Predictions:
    sites = ("north", "south", "west")
    good, other = draw(600, skill=3.0, sources=sites, seed=1), draw(600, skill=0.3, seed=2)
    spoilt = np.array([site == "west" for site in good.sources]) & weak
    return dataclasses.replace(
        good, logits=np.where(spoilt[:, None], other.logits, good.logits).astype(np.float32)
    )


def test_a_planted_weak_source_is_named_with_the_interval_of_its_difference(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    worst = _find_worst(_draw_with_a_weak_site(draw_predictions, weak=True), config)
    assert worst is not None
    assert (worst.factor, worst.value, worst.compared) == ("source", "west", 3)
    generalisation_gap = worst.score.generalisation_gap
    assert generalisation_gap.low > 0.1
    assert generalisation_gap.value == pytest.approx(
        worst.score.internal.value - worst.score.external.value
    )
    assert "more than chance" in worst.sentence


def test_the_lowest_of_equal_sources_is_not_called_worse(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    worst = _find_worst(_draw_with_a_weak_site(draw_predictions, weak=False), config)
    assert worst is not None
    assert worst.score.generalisation_gap.low < 0
    assert "may be chance" in worst.sentence


def test_a_slice_without_the_hard_class_is_not_good_by_that_alone(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    # Covid-19 is never found. The south has none of it, and is worse at the rest.
    good, bad = draw_predictions(600, skill=3.0), draw_predictions(600, skill=0.3, seed=1)
    logits = good.logits.copy()
    logits[:, 2] = -9
    south = (np.arange(600) // 2 % 4 == 0) & (good.truth != 2)
    logits[south] = bad.logits[south]
    predictions = dataclasses.replace(
        good, logits=logits, sources=tuple(np.where(south, "south", "north").tolist())
    )
    worst = _find_worst(predictions, config)
    assert worst is not None
    assert worst.value == "south"
    assert worst.score.internal.value - worst.score.external.value > 0.2


def test_a_slice_of_a_single_class_is_not_compared(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions(sources=("north",))
    view = ["lateral" if label == 2 else "PA" for label in predictions.truth]
    assert _find_worst(predictions, config, view=view) is None
