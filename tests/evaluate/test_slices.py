from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.config import EvaluateConfig
from cxresnet.evaluate.operating_point import build_plain_operating_point, judge
from cxresnet.evaluate.record import Slice
from cxresnet.evaluate.slices import build_slices, find_age_band
from cxresnet.predict import Predictions


def _build(
    predictions: Predictions, config: EvaluateConfig, **columns: list[str]
) -> dict[tuple[str, str], Slice]:
    facts = pd.DataFrame({"source": predictions.sources}).assign(view="", sex="", age_years="")
    slices = build_slices(
        judge(predictions, build_plain_operating_point(3)),
        facts.assign(**columns),
        group_ids=predictions.group_ids,
        config=config,
    )
    return {(item.factor, item.value): item for item in slices}


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


def test_a_slice_is_what_judging_its_films_alone_gives(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions()
    slices = _build(predictions, config)
    assert set(slices) == {("source", "north"), ("source", "south")}
    north = np.array(predictions.sources) == "north"
    right = predictions.logits.argmax(axis=1) == predictions.truth
    found = slices["source", "north"]
    assert found.films == north.sum()
    assert found.patients == found.films / 2
    assert found.headline.accuracy.value == pytest.approx(right[north].mean())
    assert found.headline.accuracy.n == found.films


def test_a_factor_with_one_value_is_no_slice(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    assert _build(draw_predictions(sources=("north",)), config, view=["PA"] * 120) == {}


def test_films_of_unknown_sex_are_a_slice_of_their_own(
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
    assert lateral.macro_auroc.reason == "No film shows anything but covid-19."
    assert slices["view", "PA"].headline.macro_auroc.value is not None


def test_a_factor_with_very_many_values_shows_the_largest(
    draw_predictions: Callable[..., Predictions], config: EvaluateConfig
) -> None:
    predictions = draw_predictions(sources=tuple(f"site {number}" for number in range(20)))
    assert len(_build(predictions, config)) == 12
