from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxresnet import DISCLAIMER
from cxresnet.core.checksums import record_checksums
from cxresnet.core.errors import RunFolderError, StorageError
from cxresnet.predict import (
    Predictions,
    average_predictions,
    concatenate_predictions,
    read_predictions,
    write_predictions,
)

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def _build(images: int = 3, *, ids: tuple[str, ...] | None = None) -> Predictions:
    generator = np.random.default_rng(0)
    names = ids or tuple(f"image {index}" for index in range(images))
    return Predictions(
        image_ids=names,
        patient_ids=names,
        group_ids=tuple(str(index) for index in range(len(names))),
        sources=("here",) * len(names),
        truth=np.arange(len(names)) % 4 - 1,
        logits=generator.normal(0, 5, size=(len(names), 3)).astype(np.float32),
        class_names=("normal", "pneumonia", "covid-19"),
    )


def _assert_same(one: Predictions, other: Predictions) -> None:
    assert one.image_ids == other.image_ids
    assert one.patient_ids == other.patient_ids
    assert one.group_ids == other.group_ids
    assert one.sources == other.sources
    assert one.class_names == other.class_names
    assert one.truth.tolist() == other.truth.tolist()
    assert one.logits.tobytes() == other.logits.tobytes()


def test_what_is_written_is_read_again_bit_by_bit(tmp_path: Path) -> None:
    predictions = _build(50)
    predictions.logits[0] = [1e-30, -3.4e38, 0.1]
    path = write_predictions(tmp_path / "predictions.csv", predictions)
    _assert_same(read_predictions(path), predictions)


def test_calibrated_probabilities_stand_beside_and_the_table_reads_as_before(
    tmp_path: Path,
) -> None:
    predictions = _build(3)
    shown = np.full(predictions.logits.shape, 0.25)
    path = write_predictions(tmp_path / "predictions.csv", predictions, calibrated=shown)
    header, first = path.read_text().splitlines()[:2]
    assert header.endswith('"calibrated_normal","calibrated_pneumonia","calibrated_covid-19"')
    assert first.replace('"', "").endswith("0.25,0.25,0.25")
    _assert_same(read_predictions(path), predictions)


def test_what_must_be_known_first_stands_beside_the_table(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write_predictions(path, _build(2), verdict="Verdict on the data: RED. It does.")
    beside = (tmp_path / "predictions.about.txt").read_text()
    assert DISCLAIMER in beside
    assert "Verdict on the data: RED. It does." in beside
    assert "for 2 images" in beside
    assert path.read_text().startswith('"image_id"')
    write_predictions(path, _build(2))
    assert "not audited" in (tmp_path / "predictions.about.txt").read_text()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)  # two files reach the disk in each example
@given(st.lists(_TEXT, min_size=1, max_size=5, unique=True))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    predictions = _build(ids=tuple(ids))
    path = tmp_path_factory.mktemp("table") / "predictions.csv"
    _assert_same(read_predictions(write_predictions(path, predictions)), predictions)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", 'a,"b\n'])
def test_no_cell_of_text_is_a_formula_for_a_spreadsheet(tmp_path: Path, text: str) -> None:
    predictions = _build(ids=(text,))
    path = write_predictions(tmp_path / "predictions.csv", predictions)
    with path.open(newline="", encoding="utf-8") as stream:
        cell = list(csv.reader(stream))[1][0]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_predictions(path).image_ids == (text,)


def test_the_file_says_what_each_column_is(tmp_path: Path) -> None:
    path = write_predictions(tmp_path / "predictions.csv", _build(2))
    with path.open(newline="", encoding="utf-8") as stream:
        header, first, second = csv.reader(stream)
    assert ",".join(header) == (
        "image_id,patient_id,group_id,source,true_class,"
        "logit_normal,logit_pneumonia,logit_covid-19,"
        "probability_normal,probability_pneumonia,probability_covid-19"
    )
    assert (first[4], second[4]) == ("", "normal")
    assert sum(float(cell) for cell in second[8:]) == pytest.approx(1, abs=1e-6)


def test_probabilities_sum_to_one_also_for_huge_logits() -> None:
    predictions = _build(4)
    predictions.logits[:] *= 1e30
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-12)


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    empty = _build(3).select(np.zeros(3, dtype=bool))
    path = write_predictions(tmp_path / "predictions.csv", empty)
    assert len(read_predictions(path)) == 0
    assert read_predictions(path).class_names == empty.class_names


def test_selecting_and_joining_are_inverse() -> None:
    predictions = _build(7)
    chosen = np.arange(7) < 3
    joined = concatenate_predictions([predictions.select(chosen), predictions.select(~chosen)])
    _assert_same(joined, predictions)


def test_an_image_of_several_tables_gets_the_mean_of_its_logits() -> None:
    predictions = _build(7)
    first, second = predictions.select(np.arange(7) < 5), predictions.select(np.arange(7) >= 3)
    raised = replace(second, logits=second.logits + 2)
    found = average_predictions([raised, first])
    order = [found.image_ids.index(name) for name in predictions.image_ids]
    assert found.image_ids == (*second.image_ids, *predictions.image_ids[:3])
    expected = predictions.logits + np.array([0, 0, 0, 1, 1, 2, 2])[:, None]
    assert found.logits[order] == pytest.approx(expected, abs=1e-5)
    assert found.truth[order].tolist() == predictions.truth.tolist()


def test_tables_of_different_classes_are_not_joined() -> None:
    other = Predictions(
        image_ids=(),
        patient_ids=(),
        group_ids=(),
        sources=(),
        truth=np.zeros(0, dtype=np.int64),
        logits=np.zeros((0, 2), dtype=np.float32),
        class_names=("a", "b"),
    )
    with pytest.raises(ValueError, match="different classes"):
        concatenate_predictions([_build(), other])


def test_a_missing_table_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"There is no .*\. Make it with 'cxresnet evaluate"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("logit_normal", "logits", "its header"),
        ('"image 1","image 1",', '"image 1",', "is not a table"),
        (',"normal",', ',"plague",', "'plague' is not one of its classes"),
        (',"normal",-', ',"normal",9', "do not belong to its logits"),
        (',"normal",-0.5', ',"normal",nan', "not finite"),
        (',"normal",-', ',"normal",x', "could not convert"),
        ('"image 0"', '"image 0', "is not a table"),
    ],
)
def test_an_altered_table_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    predictions = _build(2)
    predictions.logits[1, 0] = -0.5
    path = write_predictions(tmp_path / "predictions.csv", predictions)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    record_checksums(path)
    with pytest.raises(RunFolderError, match=message):
        read_predictions(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match="is not a table of predictions"):
        read_predictions(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Predictions(
            image_ids=("a",),
            patient_ids=("",),
            group_ids=("0",),
            sources=("",),
            truth=np.zeros(1, dtype=np.int64),
            logits=np.array([[value, 0]], dtype=np.float32),
            class_names=("a", "b"),
        )


def test_columns_of_different_length_and_unknown_classes_are_refused() -> None:
    good = _build(2)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ValueError, match="do not all have 2 images"):
        Predictions(**{**fields, "sources": ("here",)})
    with pytest.raises(ValueError, match="not among -1 to 2"):
        Predictions(**{**fields, "truth": np.array([0, 3])})


def test_nothing_is_left_behind_when_the_table_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "evaluate").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        write_predictions(tmp_path / "evaluate" / "predictions.csv", _build())
    assert [entry.name for entry in tmp_path.iterdir()] == ["evaluate"]
