from __future__ import annotations

import pytest

from cxresnet.core.classes import DEFAULT_CLASS_NAMES, build_class_map, parse_class_table
from cxresnet.core.errors import ClassMapError, ConfigError


@pytest.mark.parametrize(
    ("label", "class_name"),
    [
        ("Covid-19", "covid-19"),
        ("COVID", "covid-19"),
        ("No_findings", "normal"),
        ("NORMAL", "normal"),
        ("Viral Pneumonia", "pneumonia"),
        ("Pneumonia-Bacterial", "pneumonia"),
    ],
)
def test_folder_names_that_people_use_are_known(label: str, class_name: str) -> None:
    assert build_class_map().require(label) == class_name


def test_what_the_user_says_comes_before_what_we_know() -> None:
    class_map = build_class_map({"normal": ["bacterial"]})
    assert class_map.find("bacterial") == "normal"


def test_a_synonym_on_the_left_side_means_the_known_class() -> None:
    class_map = build_class_map(parse_class_table("covid=Corona_cases"))
    assert class_map.find("corona cases") == "covid-19"
    assert class_map.class_names == DEFAULT_CLASS_NAMES


def test_a_new_name_adds_a_class_at_the_end() -> None:
    class_map = build_class_map(parse_class_table("tuberculosis=TB"))
    assert class_map.class_names == (*DEFAULT_CLASS_NAMES, "tuberculosis")
    assert class_map.find("TB") == "tuberculosis"
    assert class_map.find("Tuberculosis") == "tuberculosis"


def test_an_ignored_folder_is_known_but_of_no_class() -> None:
    assert build_class_map({"ignore": ["Lung_Opacity"]}).find("Lung_Opacity") == ""


def test_a_typo_is_told_with_what_was_probably_meant() -> None:
    with pytest.raises(ClassMapError, match=r"'Pnuemonia'.*Did you mean 'pneumonia'\?.*--classes"):
        build_class_map().require("Pnuemonia")


def test_a_letter_of_another_alphabet_makes_no_new_class() -> None:
    with pytest.raises(ClassMapError, match="No class claims"):
        build_class_map().require("сovid")  # begins with a Cyrillic letter


@pytest.mark.parametrize("text", ["covid", "covid=", "=Covid-19", "covid=+"])
def test_a_half_pair_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not of the form class=folder"):
        parse_class_table(text)


def test_several_folders_of_one_class_are_joined_with_a_plus() -> None:
    table = parse_class_table("pneumonia=viral + bacterial, pneumonia=other,")
    assert table == {"pneumonia": ["viral", "bacterial", "other"]}


@pytest.mark.parametrize(("typo", "meant"), [("pnuemonia", "pneumonia"), ("covdi", "covid-19"),
                                             ("Nomal", "normal")])  # fmt: skip
def test_a_class_mistyped_at_the_left_is_no_new_class(typo: str, meant: str) -> None:
    with pytest.raises(ClassMapError, match=f"no class '{typo}'. Did you mean '{meant}'"):
        build_class_map({typo: ["Folder"]})


@pytest.mark.parametrize("name", ["abnormal", "tuberculosis", "covid-severe"])
def test_a_class_of_another_name_is_added(name: str) -> None:
    assert build_class_map({name: ["Folder"]}).class_names[-1] == name
