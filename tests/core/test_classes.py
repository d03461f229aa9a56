from __future__ import annotations

import re
import shlex
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxresnet.core.classes import (
    DEFAULT_CLASS_NAMES,
    build_class_map,
    override_class_table,
    parse_class_table,
)
from cxresnet.core.errors import ClassMapError, ConfigError
from cxresnet.core.labels import fold_label


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


@pytest.mark.parametrize("name", ["CLASS-1", "CLASS-12", "CLASS"])
def test_a_placeholder_is_no_class_and_the_folder_that_lacks_one_is_named(name: str) -> None:
    with pytest.raises(ClassMapError, match=f"'TB' has no class yet: '{name}'.*source.classes"):
        build_class_map({name: ["TB"]})


def test_a_placeholder_whose_folder_got_its_class_elsewhere_adds_none() -> None:
    table = override_class_table({"CLASS-1": ["TB"]}, {"tuberculosis": ["TB"]})
    assert build_class_map(table).class_names == (*DEFAULT_CLASS_NAMES, "tuberculosis")


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


def test_an_unknown_label_is_explained_with_the_class_that_is_near_or_with_all() -> None:
    class_map = build_class_map()
    near = class_map.explain_unknown(["Pneumnia"])
    assert "Did you mean 'pneumonia'?" in near
    assert "--classes pneumonia=Pneumnia, or leave it out with --classes ignore=Pneumnia." in near
    far = class_map.explain_unknown(["xyz"])
    assert "Did you mean" not in far
    assert "--classes CLASS=xyz (CLASS is normal, pneumonia, covid-19 or a new name)" in far


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


# Labels that look alike and mean different things.


def test_a_sign_behind_a_label_carries_its_meaning() -> None:
    class_map = build_class_map(parse_class_table("covid=COVID+,normal=COVID-"))
    assert class_map.find("COVID+") == "covid-19"
    assert class_map.find("COVID-") == "normal"
    assert build_class_map().find("COVID-") is None


def test_labels_of_another_alphabet_are_told_apart() -> None:
    class_map = build_class_map(parse_class_table("normal=正常,pneumonia=肺炎"))
    assert class_map.find("正常") == "normal"
    assert class_map.find("肺炎") == "pneumonia"
    assert class_map.find("新冠") is None


def test_numbers_are_compared_as_numbers() -> None:
    class_map = build_class_map(parse_class_table("pneumonia=1.0,normal=0.0"))
    assert [class_map.find(text) for text in ("1", "1.00", "0", "-0", "+1")] == [
        "pneumonia", "pneumonia", "normal", "normal", "pneumonia",
    ]  # fmt: skip
    assert [class_map.find(text) for text in ("-1.0", "10", "0.1", "100", "1,000")] == [None] * 5


@pytest.mark.parametrize(
    "table", ["covid=COVID_1,normal=covid 1", "a=1,b=1.0", "a=X,ignore=x", 'a=正常,b="正 常"']
)
def test_one_label_for_two_classes_is_refused_by_name(table: str) -> None:
    with pytest.raises(ClassMapError, match="are read as the same, but are given two classes"):
        build_class_map(parse_class_table(table))


@pytest.mark.parametrize("label", ["__", "()", ". ."])
def test_a_label_of_nothing_is_refused_by_name(label: str) -> None:
    with pytest.raises(ClassMapError, match="has neither a letter nor a digit"):
        build_class_map({"normal": [label]})
    with pytest.raises(ClassMapError, match="no name of a class"):
        build_class_map({label: ["Folder"]})
    assert build_class_map({"normal": ["正常"]}).find(label) is None


@pytest.mark.parametrize(
    "label",
    [
        "Non-COVID", "NonCovid", "Abnormal", "Not Normal", "Positive", "Lung_Opacity",
        "No pneumonia", "Negative", "without pneumonia", "suspected COVID", "Covid-", "pneumonia?",
        "unaffected", "10", "-1", "非肺炎",
    ],
)  # fmt: skip
def test_no_class_is_guessed_from_what_denies_doubts_or_counts(label: str) -> None:
    class_map = build_class_map({"pneumonia": ["1", "肺炎"]})
    assert class_map.find(label) is None
    assert class_map.suggest(label) is None
    text = class_map.explain_unknown([label])
    assert "Did you mean" not in text
    assert "--classes normal" not in text


def test_classes_that_differ_in_a_number_or_sign_are_two() -> None:
    class_map = build_class_map(parse_class_table("grade1=A,grade2=B,grade2+=C"))
    assert class_map.class_names[-3:] == ("grade1", "grade2", "grade2+")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("x=COVID+", ["COVID+"]),
        ("x=COVID+ + Corona", ["COVID+", "Corona"]),
        ("x=COVID++Corona", ["COVID+", "Corona"]),
        ('x="A+B"+C', ["A+B", "C"]),
        ('x="Normal, healthy"', ["Normal, healthy"]),
        ("x=Lung Opacity", ["Lung Opacity"]),
        ('x="+"', ["+"]),
    ],
)
def test_a_label_may_hold_a_plus_or_a_comma(text: str, labels: list[str]) -> None:
    assert parse_class_table(text) == {"x": labels}


@pytest.mark.parametrize(
    "label", ["A+B", "Normal, healthy", "COVID+", "+", "-", "Lung_Opacity", "a=b", "正常", "it's"]
)
def test_the_way_out_that_a_message_names_is_one(label: str) -> None:
    (_, pair, *_) = shlex.split(
        build_class_map().explain_unknown([label]).partition("for example ")[2]
    )
    assert list(parse_class_table(pair).values()) == [[label]]


def test_the_command_line_overrides_one_label_of_a_table() -> None:
    table = override_class_table({"normal": ["A", "lung_opacity"]}, {"pneumonia": ["Lung Opacity"]})
    assert table == {"normal": ["A"], "pneumonia": ["Lung Opacity"]}
    assert build_class_map(table).find("LUNG-OPACITY") == "pneumonia"


_SEPARATORS = re.compile(r"[\s_\-'\"`\u2018\u2019\u201c\u201d()\[\]{}.,:;\0-\x1f]")
_LABELS = st.one_of(
    st.text(min_size=1, max_size=12),
    st.text(alphabet="aAbB01.-+_ ,()/?正常é", min_size=1, max_size=6),
    st.sampled_from(
        ["COVID+", "COVID-", "covid", "Non-COVID", "normal", "Abnormal", "1", "1.0", "-1.0", "10"]
    ),
)


def _write_plainly(label: str) -> str:
    """What of a label is letters, digits and symbols, or the value of a number."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold()).strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text):
        return f"number {Decimal(text).normalize() + 0:f}"
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return _SEPARATORS.sub("", visible)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(first=_LABELS, second=_LABELS)
def test_two_different_labels_never_find_one_class_unless_the_user_says_so(
    first: str, second: str
) -> None:
    known = build_class_map()
    try:
        class_map = build_class_map({"class one": [first], "second class": [second]})
        alone = build_class_map({"class one": [first]})
    except ClassMapError:
        folds_to_nothing = "" in (fold_label(first), fold_label(second))
        assert folds_to_nothing or fold_label(first) == fold_label(second)
        return
    assert class_map.find(first) == "class one"
    assert class_map.find(second) == "second class"
    found = alone.find(second)
    if _write_plainly(first) != _write_plainly(second):
        assert fold_label(first) != fold_label(second)
        added = {"class one": "class one", "classone": "class one"}.get(second.casefold())
        assert found == (known.find(second) or added)


def test_a_class_is_called_in_printable_characters_as_in_the_manifest() -> None:
    """Else its images were of a class that the dataset does not have."""
    class_map = build_class_map({"tuber\x1b[2J": ["tb"], "a\nb": ["ab"]})
    assert class_map.class_names[3:] == ("tuber\\x1b[2J", "a\\nb")
    assert class_map.find("TB") == "tuber\\x1b[2J"
