"""Which images may be learnt from without a source, and which sources can be tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxresnet.core.errors import ConfigError
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.split.source_folds import (
    SourceFold,
    SourceTask,
    find_other_images,
    parse_source_sets,
    plan_source_folds,
    take_images,
)

CLASSES = ("normal", "pneumonia", "covid-19")


def _build(rows: list[tuple[str, str, str]], groups: list[int] | None = None) -> pd.DataFrame:
    """Rows are (source, class, split); each image is a group of its own unless said otherwise."""
    frame = pd.DataFrame(rows, columns=["source", "class_name", "split"])
    return frame.assign(group_id=range(len(rows)) if groups is None else groups)


def _fill(source: str, *class_names: str) -> list[tuple[str, str, str]]:
    return [(source, name, split) for name in class_names for split in ("train", "val", "test")]


def _reasons(manifest: pd.DataFrame) -> dict[str, str]:
    return {one.name: one.reason for one in _plan(manifest)}


def _plan(manifest: pd.DataFrame) -> tuple[SourceFold, ...]:
    return plan_source_folds(manifest, class_names=CLASSES, min_images=3)


def test_sources_that_share_their_classes_are_tested_on_these() -> None:
    manifest = _build(_fill("south", *CLASSES) + _fill("north", "covid-19", "normal"))
    north, south = _plan(manifest)
    assert (north.sources, north.images, north.patients) == (("north",), 6, 6)
    assert north.classes == north.compared == ("normal", "covid-19")
    assert south.classes == CLASSES
    assert south.compared == ("normal", "covid-19")
    assert north.reason == south.reason == ""
    assert north.tasks == (SourceTask(("covid-19", "normal"), ("north", "north")),)
    assert south.tasks == (SourceTask(("covid-19", "normal"), ("south", "south")),)


@pytest.mark.parametrize(("images", "is_tested"), [(19, False), (20, True)])
def test_a_class_counts_from_twenty_images_of_a_source_on(images: int, *, is_tested: bool) -> None:
    rows = [
        (source, name, ("train", "val", "test")[number % 3])
        for source in ("north", "south")
        for name in ("normal", "covid-19")
        for number in range(images)
    ]
    folds = plan_source_folds(_build(rows), class_names=CLASSES)
    assert [bool(one.tasks) for one in folds] == [is_tested] * 2


def test_a_source_of_one_class_cannot_be_tested() -> None:
    manifest = _build(_fill("cohen", "covid-19") + _fill("nih", *CLASSES) + _fill("pad", *CLASSES))
    reasons = _reasons(manifest)
    assert reasons["cohen"].startswith("Cannot be tested: all its images show covid-19")
    assert reasons["nih"] == ""


def test_a_class_that_nobody_else_teaches_cannot_be_compared() -> None:
    manifest = _build(_fill("cohen", "covid-19") + _fill("nih", "normal", "pneumonia"))
    reason = _reasons(manifest)["nih"]
    assert "the other sources do not show normal, pneumonia" in reason


@pytest.mark.slow
def test_a_class_must_be_taught_chosen_on_and_tested_by_the_others() -> None:
    others = _fill("a", *CLASSES)
    assert _reasons(_build(_fill("b", "normal", "pneumonia") + others))["b"] == ""
    for split in ("train", "val", "test"):
        kept = [row for row in others if row[1:] != ("pneumonia", split)]
        assert _reasons(_build(_fill("b", "normal", "pneumonia") + kept))["b"] != ""


def test_the_only_source_cannot_be_tested() -> None:
    assert "no image is left to learn from" in _reasons(_build(_fill("only", *CLASSES)))["only"]


def test_a_patient_of_the_source_is_left_out_everywhere() -> None:
    manifest = _build(
        [("a", "normal", "train"), ("b", "normal", "train"), ("b", "covid-19", "val")],
        groups=[7, 7, 8],
    )
    assert find_other_images(manifest, ["a"]).tolist() == [False, False, True]
    evaluated = manifest[manifest["split"] == "val"]
    assert find_other_images(manifest, ["a"], of=evaluated).tolist() == [True]


def test_shared_patients_teach_no_round_and_are_counted_once() -> None:
    """All pneumonia of "b" is of patients that "a" has, too: without them nobody teaches it."""
    manifest = _build(
        _fill("a", "normal", "pneumonia") + _fill("a", "pneumonia") + _fill("b", *CLASSES),
        groups=[0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 3, 4, 5, 9, 10, 11],
    )
    first, second = _plan(manifest)
    assert (first.name, first.images, first.patients) == ("a", 9, 6)
    assert first.compared == ("normal",)
    assert "do not show pneumonia" in first.reason
    assert (second.images, second.patients) == (9, 9)


def test_a_patient_of_the_source_in_another_split_is_left_out_of_the_rows_asked_about() -> None:
    manifest = _build(
        [("a", "normal", "train"), ("b", "normal", "val"), ("b", "covid-19", "val")],
        groups=[7, 7, 8],
    )
    evaluated = manifest[manifest["split"] == "val"]
    assert find_other_images(manifest, ["a"], of=evaluated).tolist() == [False, True]


# Which sets of sources are left out.


def _sets(manifest: pd.DataFrame) -> list[tuple[str, ...]]:
    return [one.sources for one in _plan(manifest) if not one.reason]


def test_where_no_source_holds_both_classes_one_source_of_each_is_left_out() -> None:
    """By hand: covid-19 in c1 (most images), c2, c3; normal in n1 (most), n2; none holds both."""
    manifest = _build(
        2 * _fill("c1", "covid-19") + _fill("c2", "covid-19") + _fill("c3", "covid-19")
        + 2 * _fill("n2", "normal") + _fill("n1", "normal")
    )  # fmt: skip
    folds = _plan(manifest)
    assert [one.sources for one in folds] == [("c1", "n2"), ("c2", "n1"), ("c3", "n2")]
    assert folds[1].tasks == (SourceTask(("covid-19", "normal"), ("c2", "n1")),)
    assert folds[0].name == "c1 + n2"


def test_a_pair_of_classes_has_at_most_six_sets_and_the_largest_sources() -> None:
    sources = [f"c{number}" for number in range(8)]
    rows = [
        row for number, one in enumerate(sources) for row in (9 - number) * _fill(one, "covid-19")
    ]
    found = _sets(_build(rows + _fill("n1", "normal") + _fill("n2", "normal")))
    assert found == [(f"c{number}", f"n{1 + number % 2}") for number in range(6)]


def test_a_pair_that_a_source_holds_is_only_tested_within_sources() -> None:
    """The source "both" holds covid-19 and pneumonia, so no set is made for these two."""
    manifest = _build(
        _fill("both", "covid-19", "pneumonia") + _fill("c", "covid-19") + _fill("p", "pneumonia")
        + _fill("n", "normal") + _fill("m", "normal")
    )  # fmt: skip
    found = {one.sources: one.tasks for one in _plan(manifest)}
    within = SourceTask(("covid-19", "pneumonia"), ("both", "both"))
    assert found["both",] == (within,)
    assert ("c", "p") not in found
    # One training answers every task that its images allow.
    (both,) = [tasks for sources, tasks in found.items() if set(sources) == {"both", "m"}]
    assert set(both) == {
        SourceTask(("pneumonia", "normal"), ("both", "m")),
        SourceTask(("covid-19", "normal"), ("both", "m")),
        within,
    }


def test_a_class_with_too_few_images_in_a_source_is_not_tested_there() -> None:
    manifest = _build(_fill("a", "normal", "pneumonia") + 2 * _fill("b", "normal", "pneumonia"))
    folds = plan_source_folds(manifest, class_names=CLASSES, min_images=4)
    assert [(one.name, bool(one.reason)) for one in folds] == [("b", False), ("a", True)]
    assert "at least 4 images each" in folds[1].reason


def test_sets_of_the_user_replace_the_plan() -> None:
    manifest = _build(
        _fill("a", *CLASSES)
        + _fill("b", *CLASSES)
        + _fill("c", "covid-19")
        + _fill("x+y", *CLASSES)
    )
    sets = parse_source_sets("a + c, b,x+y, c+a", manifest)
    assert sets == (("a", "c"), ("b",), ("x+y",))
    folds = plan_source_folds(manifest, class_names=CLASSES, sets=sets, min_images=3)
    assert [one.sources for one in folds] == list(sets)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a+d", "no source 'd'"), ("a+a", "names a source twice"), (" , ", "is empty")],
)
def test_sets_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_source_sets(text, _build(_fill("a", *CLASSES)))


def test_images_are_taken_with_their_rows_and_labels() -> None:
    images = ImageSet(
        images=np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 2, 2), np.uint8),
        labels=np.array([0, 1, 2]),
        manifest=pd.DataFrame({"image_id": ["x", "y", "z"]}),
    )
    taken = take_images(images, np.array([True, False, True]))
    assert taken.images[:, 0, 0].tolist() == taken.labels.tolist() == [0, 2]
    assert taken.manifest["image_id"].tolist() == ["x", "z"]
    assert taken.manifest.index.tolist() == [0, 1]
