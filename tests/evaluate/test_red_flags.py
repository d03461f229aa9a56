from __future__ import annotations

import pytest

from cxresnet.core.finding import Finding
from cxresnet.evaluate.baseline_comparison import Baseline
from cxresnet.evaluate.red_flags import (
    RedFlag,
    RedFlagInputs,
    RedFlagRule,
    find_red_flags,
    name_red_flags,
)
from cxresnet.evaluate.results import ClassResult, GeneralisationGap, Headline
from cxresnet.metrics.estimate import Estimate


def _number(value: float, width: float = 0.03) -> Estimate:
    return Estimate(value=value, low=value - width, high=value + width, n=200, groups=150)


def _headline(value: float) -> Headline:
    number = _number(value)
    return Headline(accuracy=number, balanced_accuracy=number, macro_f1=number, macro_auroc=number)


def _class(auroc: float) -> ClassResult:
    number = _number(0.8)
    names = ("sensitivity", "specificity", "ppv", "npv", "f1", "average_precision")
    return ClassResult(
        class_name="covid-19",
        images=50,
        patients=40,
        auroc=_number(auroc),
        roc=None,
        **dict.fromkeys(names, number),
    )


def _baseline(difference: float, *, width: float = 0.03) -> Baseline:
    return Baseline(
        name="thumbnail",
        title="Thumbnail",
        inputs="Little.",
        headline=_headline(0.5),
        balanced_accuracy_difference=_number(difference, width),
        macro_auroc_difference=None,
    )


def _finding(question: str, verdict: str) -> Finding:
    return Finding(question=question, title="?", verdict=verdict, sentence="!", measures=())


def _sound(**changes: object) -> dict[str, str]:
    plain = {
        "headline": _headline(0.8),
        "classes": (_class(0.9),),
        "baselines": (_baseline(0.2),),
        "validation": _headline(0.82),
        "findings": (_finding("source_confounding", "green"),),
    }
    return {one.rule: one.sentence for one in find_red_flags(RedFlagInputs(**(plain | changes)))}


def test_a_plausible_result_sounds_no_alarm() -> None:
    assert _sound() == {}


def test_a_high_auroc_is_doubted_where_the_source_tells_the_class() -> None:
    red = (_finding("source_confounding", "red"),)
    assert (
        "covid-19 0.970" in _sound(classes=(_class(0.97),), findings=red)["source_predicts_class"]
    )
    assert _sound(classes=(_class(0.94),), findings=red) == {}
    assert _sound(classes=(_class(0.97),), findings=(_finding("file_header", "red"),)) == {}


def test_copies_across_splits_are_told_with_their_number() -> None:
    assert _sound(leaked_images=3)["near_duplicates_across_splits"].startswith(
        "3 of the test images"
    )


@pytest.mark.parametrize(
    ("difference", "width", "rule", "text"),
    [
        (
            0.03,
            0.01,
            "baseline_nearly_as_good",
            "hardly better: difference +0.030 (+0.020 to +0.040)",
        ),
        (
            0.10,
            0.15,
            "baseline_nearly_as_good",
            "hardly better: difference +0.100 (-0.050 to +0.250)",
        ),
        (-0.05, 0.01, "baseline_as_good", "no better: difference -0.050 (-0.060 to -0.040)"),
    ],
)
def test_a_baseline_that_is_nearly_as_good_is_told(
    difference: float, width: float, rule: str, text: str
) -> None:
    assert text in _sound(baselines=(_baseline(0.3), _baseline(difference, width=width)))[rule]


@pytest.mark.parametrize(
    ("rules", "heading"),
    [
        (["perfect_score"], "Too good to be true"),
        (["baseline_as_good"], "No better than a shortcut baseline"),
        (["baseline_nearly_as_good"], "Hardly better than a shortcut baseline"),
        (["worse_on_left_out_sources"], "Much worse on other sources"),
        (
            ["worse_on_left_out_sources", "baseline_as_good"],
            "Much worse on other sources, and no better than a shortcut baseline",
        ),
        (
            ["baseline_as_good", "worse_on_left_out_sources", "perfect_score"],
            (
                "Too good to be true, much worse on other sources, and no better than a shortcut "
                "baseline"
            ),
        ),
        (
            ["source_predicts_class", "baseline_as_good"],
            "Too good to be true, and no better than a shortcut baseline",
        ),
    ],
)
def test_the_heading_of_the_alarms_fits_what_they_say(
    rules: list[RedFlagRule], heading: str
) -> None:
    assert (
        name_red_flags([RedFlag(rule=rule, title="?", sentence="!") for rule in rules]) == heading
    )


def test_a_difference_that_never_varies_counts_as_it_is() -> None:
    same = _baseline(0.0).model_copy(
        update={
            "balanced_accuracy_difference": Estimate(value=0.0, low=None, high=None, n=9, groups=9)
        }
    )
    assert "difference +0.000." in _sound(baselines=(same,))["baseline_as_good"]


def test_perfect_scores_are_doubted() -> None:
    assert "AUROC of covid-19 (n = 200)" in _sound(classes=(_class(1.0),))["perfect_score"]
    assert _sound(classes=(_class(0.999),)) == {}


def test_a_test_above_validation_is_doubted_only_beyond_chance() -> None:
    assert (
        "above that of the validation"
        in _sound(headline=_headline(0.9), validation=_headline(0.8))["test_above_validation"]
    )
    assert _sound(headline=_headline(0.83), validation=_headline(0.8)) == {}
    assert _sound(headline=_headline(0.9), validation=None) == {}


def test_a_fall_on_left_out_sources_is_told() -> None:
    def score(generalisation_gap: float) -> GeneralisationGap:
        return GeneralisationGap(
            name="macro_auroc",
            internal=_number(0.9),
            external=_number(0.9 - generalisation_gap),
            generalisation_gap=_number(generalisation_gap),
        )

    sentence = _sound(source_generalisation_gap=score(0.3))["worse_on_left_out_sources"]
    assert "the macro AUROC is lower by 0.300 (0.270–0.330)" in sentence
    assert _sound(source_generalisation_gap=score(0.05)) == {}
