from __future__ import annotations

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ConfigError
from cxresnet.data.sources.label_rule import LabelRule, check_patterns, explain_unclaimed

NIH = LabelRule(build_class_map({"ignore": ["Fibrosis"]}))


@pytest.mark.parametrize(
    ("label", "class_name", "code"),
    [
        ("Pneumonia", "pneumonia", ""),
        ("Pneumonia|Effusion", "pneumonia", ""),  # a finding nobody claims goes along
        ("Infiltration| Pneumonia |Edema", "pneumonia", ""),
        ("Pneumonia|Viral Pneumonia", "pneumonia", ""),  # both mean the same class
        ("No Finding", "normal", ""),
        ("No Finding|Effusion", "", "ambiguous"),
        ("No Finding|Pneumonia", "", "ambiguous"),
        ("COVID|Pneumonia", "", "ambiguous"),
        ("Effusion", "", "other-finding"),
        ("Effusion|Mass", "", "other-finding"),
        ("Pneumonia|Fibrosis", "", "ignored"),
        ("", "", "no-label"),
        ("NaN", "", "no-label"),
        ("|", "", "other-finding"),
    ],
)
def test_a_list_of_findings_comes_to_one_class_or_is_left_out(label, class_name, code):
    decision = NIH.decide(label, multi_label=True)
    assert (decision.class_name, decision.code) == (class_name, code)


def test_where_labels_are_single_an_unknown_one_is_not_decided():
    assert NIH.decide("Pneumonai", multi_label=False) is None


def test_the_first_pattern_found_decides_where_no_class_claims_the_whole_label():
    rule = LabelRule(
        build_class_map(), {"ignore": "todo|normal", "covid": "covid", "pneumonia": "^pneumonia/"}
    )
    names = ["Pneumonia/Viral/COVID-19", "Pneumonia/Bacterial", "todo", "normal"]
    decisions = [rule.decide(name, multi_label=False) for name in names]
    assert [decision.class_name for decision in decisions] == [
        "covid-19",
        "pneumonia",
        "",
        "normal",
    ]
    assert decisions[2].code == "ignored"


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"'\(' for 'covid' is not a regular expression"):
        check_patterns({"covid": "("})


@pytest.mark.parametrize("label", ["none", "N/A", "?"])
def test_a_word_for_no_label_is_a_label_where_the_user_says_so(label):
    assert LabelRule(build_class_map()).decide(label, multi_label=False).code == "no-label"
    rule = LabelRule(build_class_map({"normal": [label]}))
    assert rule.decide(label, multi_label=False).class_name == "normal"


@pytest.mark.parametrize("label", ["-1.0", "10", "2", "COVID-", "正常"])
def test_what_no_class_claims_is_never_swallowed(label):
    rule = LabelRule(build_class_map({"pneumonia": ["1.0", "肺炎"], "normal": ["0.0"]}))
    assert rule.decide(label, multi_label=False) is None


@pytest.mark.parametrize(
    ("labels", "is_shown"),
    [
        (["Jane Miller", "Hans Maier", "Hans Maier"], False),
        (["Jane Miller"], False),
        (["Norma", "Hans Maier"], False),
        (["normal", "Effusion"], True),
        (["Covdi"], True),
        (["A", "B", "B"], True),
        (["sick"] * 10 + ["sound"] * 12, True),
        (["", "nan", "Jane Miller"], False),
    ],
)
def test_values_of_a_column_that_is_none_of_labels_are_not_quoted(
    labels: list[str], *, is_shown: bool
) -> None:
    class_map = build_class_map()
    unknown = {label for label in labels if label and not class_map.find(label)} - {"nan"}
    text = explain_unclaimed(class_map, unknown, labels)
    assert any(label in text for label in unknown) == is_shown
    assert is_shown or "--columns class=HEADING" in text
