from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cxresnet.audit.source_oracle import (
    ask_source_oracle,
    compute_cramers_v,
    predict_from_source,
)


def _build(sources: str, classes: str) -> pd.DataFrame:
    """One letter a film; every film is a patient of its own."""
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
    films = _build("a" * 40, "xy" * 20)
    assert compute_cramers_v(films) is None
    finding = ask_source_oracle(films)
    assert finding.verdict == "green"
    assert "one source" in finding.sentence


def test_a_source_that_nobody_said_is_amber_not_green() -> None:
    films = _build("a" * 40, "xy" * 20)
    finding = ask_source_oracle(films, unsaid="a")
    assert finding.verdict == "amber"
    assert "Nobody says where the films come from" in finding.sentence
    assert ask_source_oracle(_build("ab" * 20, "xxyy" * 10), unsaid="a").verdict == "green"


def test_a_class_from_a_source_of_its_own_is_red_and_named() -> None:
    films = _build("a" * 60 + "b" * 20, "xy" * 30 + "z" * 20)
    finding = ask_source_oracle(films)
    assert finding.verdict == "red"
    assert "Every film of z comes from a source that has no other class" in finding.sentence


def test_sources_that_share_all_classes_evenly_are_green() -> None:
    films = _build("ab" * 60, "xxyy" * 30)
    finding = ask_source_oracle(films)
    assert finding.verdict == "green"
    assert finding.measures[0].value == pytest.approx(0.0)


def test_a_leaning_source_is_amber() -> None:
    films = _build("a" * 40 + "b" * 40, "x" * 30 + "y" * 10 + "x" * 10 + "y" * 30)
    assert ask_source_oracle(films).verdict == "amber"  # V = 0.5, as in the case by hand


def test_the_rule_is_judged_on_patients_that_it_has_not_seen() -> None:
    # Every patient has a source of his own: knowing the patient would tell all, but the rule can
    # only fall back on the commonest class of the others.
    films = pd.DataFrame(
        {
            "source": [f"s{number // 2}" for number in range(80)],
            "class_name": ["x"] * 60 + ["y"] * 20,
            "group_id": [number // 2 for number in range(80)],
        }
    )
    assert set(predict_from_source(films)) == {"x"}
    rule = ask_source_oracle(films).measures[1]
    assert rule.value == pytest.approx(0.75)
    assert rule.low is not None
    assert rule.high is not None
    assert 0.5 < rule.low < 0.75 < rule.high < 1.0


def test_the_same_seed_gives_the_same_answer() -> None:
    films = _build("aab" * 30, "xyx" * 30)
    assert ask_source_oracle(films, seed=3) == ask_source_oracle(films, seed=3)


def test_no_measure_is_nan() -> None:
    for measure in ask_source_oracle(_build("ab" * 20, "xy" * 20)).measures:
        assert measure.value is not None
        assert not math.isnan(measure.value)
