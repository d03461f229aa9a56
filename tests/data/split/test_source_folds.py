"""Which images may be learnt from without a source, and which sources can be tested."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.split.source_folds import find_other_images, plan_source_folds, take_images

CLASSES = ("normal", "pneumonia", "covid-19")


def _build(rows: list[tuple[str, str, str]], groups: list[int] | None = None) -> pd.DataFrame:
    """Rows are (source, class, split); each image is a group of its own unless said otherwise."""
    frame = pd.DataFrame(rows, columns=["source", "class_name", "split"])
    return frame.assign(group_id=range(len(rows)) if groups is None else groups)


def _fill(source: str, *class_names: str) -> list[tuple[str, str, str]]:
    return [(source, name, split) for name in class_names for split in ("train", "val", "test")]


def _reasons(manifest: pd.DataFrame) -> dict[str, str]:
    rounds = plan_source_folds(manifest, class_names=CLASSES)
    return {one.source: one.reason for one in rounds}


def test_sources_that_share_their_classes_are_tested_on_these() -> None:
    manifest = _build(_fill("south", *CLASSES) + _fill("north", "covid-19", "normal"))
    north, south = plan_source_folds(manifest, class_names=CLASSES)
    assert (north.number, north.source, north.images, north.patients) == (0, "north", 6, 6)
    assert north.classes == north.compared == ("normal", "covid-19")
    assert south.classes == CLASSES
    assert south.compared == ("normal", "covid-19")
    assert north.reason == south.reason == ""


def test_a_source_of_one_class_cannot_be_tested() -> None:
    manifest = _build(_fill("cohen", "covid-19") + _fill("nih", *CLASSES) + _fill("pad", *CLASSES))
    reasons = _reasons(manifest)
    assert reasons["cohen"].startswith("Cannot be tested: all its images show covid-19")
    assert reasons["nih"] == ""


def test_a_class_that_nobody_else_teaches_cannot_be_compared() -> None:
    manifest = _build(_fill("cohen", "covid-19") + _fill("nih", "normal", "pneumonia"))
    reason = _reasons(manifest)["nih"]
    assert "the other sources do not show normal, pneumonia" in reason


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
    assert find_other_images(manifest, "a").tolist() == [False, False, True]
    evaluated = manifest[manifest["split"] == "val"]
    assert find_other_images(manifest, "a", of=evaluated).tolist() == [True]


def test_shared_patients_teach_no_round_and_are_counted_once() -> None:
    """All pneumonia of "b" is of patients that "a" has, too: without them nobody teaches it."""
    manifest = _build(
        _fill("a", "normal", "pneumonia") + _fill("a", "pneumonia") + _fill("b", *CLASSES),
        groups=[0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 3, 4, 5, 9, 10, 11],
    )
    first, second = plan_source_folds(manifest, class_names=CLASSES)
    assert (first.source, first.images, first.patients) == ("a", 9, 6)
    assert first.compared == ("normal",)
    assert "do not show pneumonia" in first.reason
    assert (second.images, second.patients) == (9, 9)


def test_a_patient_of_the_source_in_another_split_is_left_out_of_the_rows_asked_about() -> None:
    manifest = _build(
        [("a", "normal", "train"), ("b", "normal", "val"), ("b", "covid-19", "val")],
        groups=[7, 7, 8],
    )
    evaluated = manifest[manifest["split"] == "val"]
    assert find_other_images(manifest, "a", of=evaluated).tolist() == [False, True]


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
