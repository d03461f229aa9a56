"""What a probability is worth, as the page shows it."""

from __future__ import annotations

import re

import pytest

from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.sections.probabilities import ProbabilitiesView, build_probabilities_section


def _view(evaluation: Evaluation) -> ProbabilitiesView:
    view = build_probabilities_section(evaluation).view
    assert isinstance(view, ProbabilitiesView)
    return view


def test_reliability_is_drawn_before_and_after_the_temperature(evaluation: Evaluation) -> None:
    view = _view(evaluation)
    assert view.before is not None
    assert view.after is not None
    assert "before calibration" in view.before.words
    assert len(view.decisions) == len(view.thresholds) == 3


@pytest.mark.parametrize(("films", "hollow"), [(9, True), (10, False)])
def test_a_point_of_few_films_is_hollow(evaluation: Evaluation, films: int, hollow: bool) -> None:
    filled = next(each for each in evaluation.calibration.bins if each.films)
    bins = (filled.model_copy(update={"films": films}),)
    calibration = evaluation.calibration.model_copy(update={"bins": bins})
    view = _view(evaluation.model_copy(update={"calibration": calibration}))
    assert view.after is not None
    looks = re.findall(r'<use [^>]*style="([^"]*stroke: var\(--series-1\)[^"]*)"', view.after.svg)
    assert ["fill-opacity: 0;" in look for look in looks] == [hollow]


def test_without_films_nothing_is_drawn(evaluation: Evaluation) -> None:
    empty = evaluation.calibration.bins[:1]
    calibration = evaluation.calibration.model_copy(update={"bins": empty, "bins_before": empty})
    view = _view(
        evaluation.model_copy(update={"calibration": calibration, "prevalence_curves": ()})
    )
    assert (view.before, view.after, view.ppv, view.npv) == (None, None, None, None)


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.99, 0.96, 1.0, "reached"),
        (0.96, 0.90, 0.99, "reached, but it may be chance"),
        (0.93, 0.85, 0.97, "missed, but it may be chance"),
        (0.80, 0.70, 0.90, "missed"),
    ],
)
def test_an_aim_is_reached_or_missed_as_far_as_the_interval_says(
    evaluation: Evaluation, value: float, low: float, high: float, verdict: str
) -> None:
    first = evaluation.class_thresholds[0]
    number = Estimate(value=value, low=low, high=high, n=50, groups=40)
    reached = first.reached.model_copy(update={"sensitivity": number})
    changed = evaluation.model_copy(
        update={"class_thresholds": (first.model_copy(update={"reached": reached}),)}
    )
    assert _view(changed).thresholds[0].verdict == verdict


def test_before_the_test_the_section_says_how_to_get_one() -> None:
    assert "cxresnet evaluate RUN" in build_probabilities_section(None).missing
