from __future__ import annotations

import numpy as np
import pytest

from cxresnet.metrics.bootstrap import compute_estimates
from cxresnet.metrics.classification import ClassifiedImages, build_share
from cxresnet.metrics.estimate import Estimate
from cxresnet.metrics.prevalence import (
    build_net_benefit_statistics,
    compute_benefit_of_all,
    compute_likelihood_ratios,
    compute_predictive_values,
)
from cxresnet.metrics.statistic import compute_value


def _evaluate(second: list[float], truth: list[int]) -> ClassifiedImages:
    scores = np.array(second)
    return ClassifiedImages(
        class_names=("a", "b"),
        truth=np.array(truth, dtype=np.int64),
        predicted=(scores > 0.5).astype(np.int64),
        probabilities=np.stack([1 - scores, scores], axis=1),
    )


def test_net_benefit_is_the_one_worked_out_by_hand() -> None:
    # 5 images, 2 of class b. From 0.25 on: called .9 (b), .3 (b), .6 (a): 2/5 - 1/5 · 1/3.
    # From 0.8 on: .9 alone: 1/5.
    evaluated = _evaluate([0.9, 0.3, 0.6, 0.1, 0.2], [1, 1, 0, 0, 0])
    statistics = build_net_benefit_statistics(evaluated, 1, thresholds=(0.25, 0.8))
    assert [compute_value(one) for one in statistics] == pytest.approx([2 / 5 - 1 / 15, 1 / 5])


def test_acting_on_all_is_what_certainty_of_everything_gives() -> None:
    evaluated = _evaluate([1.0] * 10, [1] * 3 + [0] * 7)
    for threshold in (0.05, 0.3, 0.6):
        (statistic,) = build_net_benefit_statistics(evaluated, 1, thresholds=(threshold,))
        expected = compute_benefit_of_all(0.3, threshold)
        assert compute_value(statistic) == pytest.approx(expected)


def test_a_perfect_network_gains_the_share_of_the_class_everywhere() -> None:
    evaluated = _evaluate([1.0, 1.0, 0.0, 0.0, 0.0], [1, 1, 0, 0, 0])
    statistics = build_net_benefit_statistics(evaluated, 1, thresholds=(0.01, 0.5, 0.95))
    assert [compute_value(one) for one in statistics] == pytest.approx([0.4] * 3)


def _estimate(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=50, groups=40, reason="" if value else "why")


def test_predictive_values_are_those_of_bayes_worked_out_by_hand() -> None:
    # Of 1,000 people 20 are ill: 18 are found, 2 missed; of 980 healthy 98 are called ill.
    ppv, npv = compute_predictive_values(
        _estimate(0.9, 0.8, 0.95), _estimate(0.9, 0.85, 0.93), prevalence=0.02
    )
    assert ppv.value == pytest.approx(18 / (18 + 98))
    assert npv.value == pytest.approx(882 / (882 + 2))
    assert ppv.low < ppv.value < ppv.high
    assert npv.low < npv.value < npv.high
    assert (ppv.n, ppv.groups) == (100, 40)


def test_likelihood_ratios_do_not_depend_on_prevalence_and_give_the_predictive_values() -> None:
    sensitivity, specificity = _estimate(0.8, 0.7, 0.9), _estimate(0.75, 0.6, 0.85)
    ratios = compute_likelihood_ratios(sensitivity, specificity)
    assert ratios.positive.value == pytest.approx(0.8 / 0.25)
    assert ratios.negative.value == pytest.approx(0.2 / 0.75)
    ppv, _ = compute_predictive_values(sensitivity, specificity, prevalence=0.5)
    for end in ("value", "low", "high"):
        ratio = getattr(ratios.positive, end)
        assert getattr(ppv, end) == pytest.approx(ratio / (1 + ratio))


def test_the_ends_of_a_likelihood_ratio_are_those_worked_out_by_hand() -> None:
    # 0.8 (0.6 to 0.9) over 0.1 (0.05 to 0.2): the distances of logarithms add up as in a square.
    ratios = compute_likelihood_ratios(_estimate(0.8, 0.6, 0.9), _estimate(0.9, 0.8, 0.95))
    positive = ratios.positive
    assert positive.value == pytest.approx(8)
    assert positive.low == pytest.approx(8 * np.exp(-np.hypot(np.log(8 / 6), np.log(2))))
    assert positive.high == pytest.approx(8 * np.exp(np.hypot(np.log(9 / 8), np.log(2))))


def test_no_false_alarm_gives_a_ppv_of_one_that_may_be_far_lower() -> None:
    perfect = _estimate(1.0, 0.98, 1.0)
    ppv, _ = compute_predictive_values(_estimate(0.9, 0.8, 0.95), perfect, prevalence=0.02)
    # At the lower ends: odds 0.02 / 0.98 · 0.8 / 0.02.
    odds = 0.02 / 0.98 * 0.8 / 0.02
    assert (ppv.value, ppv.high) == (1.0, 1.0)
    assert ppv.low == pytest.approx(odds / (1 + odds))
    ratio = compute_likelihood_ratios(_estimate(0.9, 0.8, 0.95), perfect).positive
    assert ratio.value is None
    assert ratio.reason.startswith("Infinite: no image")


def test_no_miss_gives_an_npv_of_one_that_may_be_lower() -> None:
    _, npv = compute_predictive_values(
        _estimate(1.0, 0.9, 1.0), _estimate(0.8, 0.7, 0.9), prevalence=0.1
    )
    assert (npv.value, npv.high) == (1.0, 1.0)
    assert 0.95 < npv.low < 1


def test_what_is_not_known_of_a_part_is_not_known_of_the_whole() -> None:
    ppv, npv = compute_predictive_values(_estimate(None), _estimate(0.8, 0.7, 0.9), prevalence=0.1)
    assert (ppv.value, npv.value) == (None, None)
    assert ppv.reason == "why"
    bare, _ = compute_predictive_values(_estimate(0.9), _estimate(0.8, 0.7, 0.9), prevalence=0.1)
    assert bare.value is not None
    assert (bare.low, bare.high) == (None, None)
    assert bare.reason.startswith("No interval")


@pytest.mark.slow
@pytest.mark.parametrize("prevalence", [0.02, 0.5])
def test_ninety_five_of_a_hundred_intervals_of_predictive_values_hold_the_truth(
    prevalence: float,
) -> None:
    generator = np.random.default_rng(3)
    shown = np.arange(150) < 50
    truth_ppv = 0.85 * prevalence / (0.85 * prevalence + 0.1 * (1 - prevalence))
    truth_npv = 0.9 * (1 - prevalence) / (0.9 * (1 - prevalence) + 0.15 * prevalence)
    held = np.zeros(2)
    for _ in range(500):
        called = np.where(shown, generator.random(150) < 0.85, generator.random(150) < 0.1)
        parts = (
            build_share("found", part=called, whole=shown, undefined=""),
            build_share("spared", part=~called, whole=~shown, undefined=""),
        )
        found = compute_estimates(
            parts,
            groups=[str(number) for number in range(150)],
            strata=shown,
            resamples=200,
            confidence=0.95,
            generator=generator,
        )
        values = compute_predictive_values(found["found"], found["spared"], prevalence=prevalence)
        held += [
            value.low <= truth <= value.high
            for value, truth in zip(values, (truth_ppv, truth_npv), strict=True)
        ]
    # 500 data sets know a coverage to ±0.02.
    assert (held / 500 >= 0.93 - 0.02).all(), held
    assert (held / 500 <= 0.97 + 0.02).all(), held
