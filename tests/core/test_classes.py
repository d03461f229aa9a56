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


@pytest.mark.parametrize("label", ["x", "TB", "lung_opacity", "DICOM", "images", "test"])
def test_a_label_that_is_like_no_class_gets_no_suggestion(label: str) -> None:
    class_map = build_class_map()
    assert class_map.suggest(label) is None
    assert class_map.hint(label) == ""


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("Covd", "covid-19"),
        ("viruss", "pneumonia"),
        ("helthy", "normal"),
        ("norm case", "normal"),
    ],
)
def test_a_suggestion_is_the_class_and_not_the_synonym_that_is_near(label: str, meant: str) -> None:
    assert build_class_map().suggest(label) == meant
    assert build_class_map().hint(label) == f" Did you mean '{meant}'?"


def test_an_unknown_label_is_explained_with_the_class_that_is_near_or_the_first() -> None:
    class_map = build_class_map()
    near = class_map.explain_unknown(["Pneumnia"])
    assert "Did you mean 'pneumonia'?" in near
    assert "--classes pneumonia=Pneumnia, or leave it out with --classes ignore=Pneumnia." in near
    far = class_map.explain_unknown(["xyz"])
    assert "Did you mean" not in far
    assert "--classes normal=xyz" in far


def test_many_unknown_labels_are_shown_once_each_in_order_and_up_to_five() -> None:
    class_map = build_class_map()
    assert "folder 'x1', 'x2'." in class_map.explain_unknown(["x2", "x1", "x2"])
    text = class_map.explain_unknown([f"x{number}" for number in range(7)])
    assert "'x0', 'x1', 'x2', 'x3', 'x4' …." in text
    assert "x5" not in text


@pytest.mark.parametrize("name", ["ignore", "skip", "Skip"])
def test_a_skipped_folder_is_left_out_and_adds_no_class(name: str) -> None:
    class_map = build_class_map({name: ["Lung_Opacity"]})
    assert class_map.find("lung opacity") == ""
    assert class_map.class_names == DEFAULT_CLASS_NAMES


def test_a_label_near_one_that_is_left_out_suggests_nothing() -> None:
    class_map = build_class_map({"skip": ["Lung_Opacity"]})
    assert class_map.suggest("Lung_Opacty") is None
    assert class_map.hint("Lung_Opacty") == ""


def test_a_class_near_a_label_that_is_left_out_is_a_class_of_its_own() -> None:
    table = {"ignore": ["Tumors"], "tumor": ["Masses"]}
    assert build_class_map(table).class_names[-1] == "tumor"


@pytest.mark.parametrize("name", ["mild", "viral2x", "mold"])
def test_a_name_near_a_short_one_is_a_class_of_its_own(name: str) -> None:
    # "mild" and "mold" differ by one letter, as many pairs of short words do.
    class_map = build_class_map({"mild": ["One"], name: ["Two"]})
    assert name in class_map.class_names


def test_a_name_near_a_synonym_of_five_letters_is_a_slip() -> None:
    with pytest.raises(ClassMapError, match="Did you mean 'covid-19'"):
        build_class_map({"civid": ["Folder"]})
