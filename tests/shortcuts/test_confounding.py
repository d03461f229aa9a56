from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cxresnet.shortcuts.confounding import (
    check_source_confounding,
    compute_cramers_v,
    find_single_source_classes,
    predict_from_source,
)


def _build(sources: str, classes: str) -> pd.DataFrame:
    """One letter an image; every image is a patient of its own."""
    return pd.DataFrame(
        {
            "source": list(sources),
            "class_name": list(classes),
            "group_id": np.arange(len(sources)),
        }
    )


def test_cramers_v_of_a_two_by_two_case_by_hand() -> None:
    # Source a: 3 of class x, 1 of y. Source b: 1 of x, 3 of y. Every cell is expected to hold 2, so
    # chi² = 4 · (1² / 2) = 2, and V = sqrt(chi² / (n · 1)) = sqrt(2 / 8) = 0.5.
    strength = compute_cramers_v(_build("aaaabbbb", "xxxyxyyy"))
    assert strength == pytest.approx(0.5)


def test_one_source_is_nothing_to_compare_and_no_alarm() -> None:
    images = _build("a" * 40, "xy" * 20)
    assert compute_cramers_v(images) is None
    finding = check_source_confounding(images)
    assert finding.verdict == "green"
    assert "one recorded source" in finding.sentence


def test_a_source_that_nobody_said_is_amber_not_green() -> None:
    images = _build("a" * 40, "xy" * 20)
    finding = check_source_confounding(images, unknown_source="a")
    assert finding.verdict == "amber"
    assert "so class-source confounding cannot be checked" in finding.sentence
    assert (
        check_source_confounding(_build("ab" * 20, "xxyy" * 10), unknown_source="a").verdict
        == "green"
    )


def test_a_class_from_a_source_of_its_own_is_red_and_named() -> None:
    images = _build("a" * 60 + "b" * 20, "xy" * 30 + "z" * 20)
    finding = check_source_confounding(images)
    assert finding.verdict == "red"
    assert "Every image of z comes from a source that has no other class" in finding.sentence


def test_sources_that_share_all_classes_evenly_are_green() -> None:
    images = _build("ab" * 60, "xxyy" * 30)
    finding = check_source_confounding(images)
    assert finding.verdict == "green"
    assert finding.measures[0].value == pytest.approx(0.0)


def test_a_leaning_source_is_amber() -> None:
    images = _build("a" * 40 + "b" * 40, "x" * 30 + "y" * 10 + "x" * 10 + "y" * 30)
    assert check_source_confounding(images).verdict == "amber"  # V = 0.5, as in the case by hand


@pytest.mark.slow
def test_the_rule_is_judged_on_patients_that_it_has_not_seen() -> None:
    # Every patient has a source of his own: knowing the patient would tell all, but the rule can
    # only fall back on the commonest class of the others.
    images = pd.DataFrame(
        {
            "source": [f"s{number // 2}" for number in range(80)],
            "class_name": ["x"] * 60 + ["y"] * 20,
            "group_id": [number // 2 for number in range(80)],
        }
    )
    assert set(predict_from_source(images)) == {"x"}
    rule = check_source_confounding(images).measures[1]
    assert rule.value == pytest.approx(0.75)
    assert rule.low is not None
    assert rule.high is not None
    assert 0.5 < rule.low < 0.75 < rule.high < 1.0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answer() -> None:
    images = _build("aab" * 30, "xyx" * 30)
    assert check_source_confounding(images, seed=3) == check_source_confounding(images, seed=3)


def test_no_measure_is_nan() -> None:
    for measure in check_source_confounding(_build("ab" * 20, "xy" * 20)).measures:
        assert measure.value is not None
        assert not math.isnan(measure.value)


@pytest.mark.parametrize(
    ("leaning", "verdict"), [(64, "green"), (66, "amber"), (89, "amber"), (91, "red")]
)
def test_the_thresholds_of_cramers_v_are_0_3_and_0_8(leaning: int, verdict: str) -> None:
    # Two sources of 100 images, each leaning to one of two classes: V = 2 · share - 1.
    one, other = "x" * leaning + "y" * (100 - leaning), "y" * leaning + "x" * (100 - leaning)
    images = _build("a" * 100 + "b" * 100, one + other)
    assert compute_cramers_v(images) == pytest.approx(2 * leaning / 100 - 1)
    assert check_source_confounding(images).verdict == verdict


@pytest.mark.slow
def test_the_interval_of_the_rule_is_over_patients_not_over_images() -> None:
    alone = _build("ab" * 40, "xxyxxxyxyy" * 8)
    many = pd.concat([alone] * 5, ignore_index=True)
    single, repeated = (check_source_confounding(images).measures[1] for images in (alone, many))
    assert single.low is not None
    assert single.high is not None
    assert repeated.low is not None
    assert repeated.high is not None
    # Five copies of every image, each a patient's: no more is known than from one.
    assert repeated.high - repeated.low > 0.8 * (single.high - single.low)


def test_single_source_classes_are_named_with_their_sources() -> None:
    assert find_single_source_classes("aabc", "xyzz") == {"z": ("b", "c")}
    assert find_single_source_classes("ab", "xy") == {"x": ("a",), "y": ("b",)}
    assert find_single_source_classes("abb", "xxy") == {}


def test_within_one_source_no_class_has_a_source_of_its_own() -> None:
    assert find_single_source_classes("aa", "xy") == {}
    assert find_single_source_classes("", "") == {}
