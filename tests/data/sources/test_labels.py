from __future__ import annotations

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ConfigError
from cxresnet.data.sources.labels import LabelRule, check_patterns

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
    decision = NIH.decide(label, several=True)
    assert (decision.class_name, decision.code) == (class_name, code)


def test_where_labels_are_single_an_unknown_one_is_not_decided():
    assert NIH.decide("Pneumonai", several=False) is None


def test_the_first_pattern_found_decides_where_no_class_claims_the_whole_label():
    rule = LabelRule(
        build_class_map(), {"ignore": "todo|normal", "covid": "covid", "pneumonia": "^pneumonia/"}
    )
    names = ["Pneumonia/Viral/COVID-19", "Pneumonia/Bacterial", "todo", "normal"]
    decisions = [rule.decide(name, several=False) for name in names]
    assert [decision.class_name for decision in decisions] == [
        "covid-19",
        "pneumonia",
        "",
        "normal",
    ]
    assert decisions[2].code == "ignored"


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"'\(' for 'covid' is no regular expression"):
        check_patterns({"covid": "("})
