"""Lists with faults planted in them: each check finds its own, and is silent without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from cxresnet.audit.claims.check import check_claims, check_rows
from cxresnet.audit.claims.tables import ClaimTables, read_claims
from cxresnet.core.errors import ConfigError, CXResnetError, SourceError
from cxresnet.core.finding import Finding, Measure
from cxresnet.data.sources.table import TableOptions
from cxresnet.shortcuts import confounding

QUESTIONS = [
    "patients_recorded",
    "patient_overlap",
    "image_overlap",
    "duplicate_rows",
    "label_conflicts",
    "source_confounding",
    "validation_set",
    "test_set",
    "class_balance",
    "test_size",
    "split_shares",
]
HEADING = "image,patient,label,source,split"
Row = tuple[str, str, str, str, str]


@pytest.fixture(autouse=True)
def without_interval(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Leave out the accuracy of the source, whose interval takes most of the time; `undo` it."""

    def measure(manifest: pd.DataFrame, strength: float, *, seed: int) -> tuple[Measure, ...]:
        return (Measure(name="Cramér's V", value=strength, n=len(manifest)),)

    monkeypatch.setattr(confounding, "_measure", measure)
    return monkeypatch


def _make_rows() -> list[Row]:
    """A clean list: 200 patients, two classes and two sources in every split, 20 patients each."""
    sizes = {"train": 120, "val": 40, "test": 40}
    names = [split for split, size in sizes.items() for _ in range(size)]
    return [
        (f"image{at:04}.png", f"p{at}", ("normal", "covid")[at % 2], "ab"[at // 2 % 2], split)
        for at, split in enumerate(names)
    ]


def _write(folder: Path, rows: Sequence[Sequence[str]], name: str = "list.csv") -> Path:
    lines = [HEADING, *(",".join(row) for row in rows)]
    return _write_text(folder / name, "\n".join(lines) + "\n")


def _write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _check(*paths: Path, **options: object) -> dict[str, Finding]:
    findings = check_claims(list(paths), **options)  # type: ignore[arg-type]
    assert [finding.question for finding in findings] == QUESTIONS
    return {finding.question: finding for finding in findings}


def _get(finding: Finding, name: str) -> float | None:
    (measure,) = [one for one in finding.measures if one.name == name]
    return measure.value


def _change(rows: list[Row], at: int, **cells: str) -> None:
    keys = ("image", "patient", "label", "source", "split")
    old = dict(zip(keys, rows[at], strict=True))
    rows[at] = tuple((old | cells).values())  # type: ignore[assignment]


# Planted faults.


@pytest.mark.slow
def test_a_clean_list_is_green_throughout(tmp_path: Path) -> None:
    found = _check(_write(tmp_path, _make_rows()))
    assert {finding.verdict for finding in found.values()} == {"green"}


@pytest.mark.slow
def test_seven_planted_patients_are_found_as_seven(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(5):  # five people of the training are tested, two are validated
        _change(rows, 160 + at, patient=f"p{at}", source=rows[at][3])
    for at in range(2):
        _change(rows, 120 + at, patient=f"p{10 + at}", source=rows[10 + at][3])
    finding = _check(_write(tmp_path, rows))["patient_overlap"]
    assert finding.verdict == "red"
    assert _get(finding, "Patients in more than one split") == 7
    assert _get(finding, "Share of the test rows that another split shares") == 5 / 40
    # 200 patients less the seven that took another's id
    assert finding.sentence.startswith("7 of 193 patients (3.6 %) have images")
    assert "(train and test: 5, train and val: 2)" in finding.sentence
    assert "rows 2 and 162 of list.csv" in finding.sentence


@pytest.mark.slow
def test_equal_ids_of_different_sources_may_be_two_people(tmp_path: Path) -> None:
    rows = _make_rows()
    _change(rows, 0, patient="17", source="a")
    _change(rows, 199, patient="17", source="b")
    assert _check(_write(tmp_path, rows))["patient_overlap"].verdict == "amber"


def test_patients_unknown_cannot_be_tested(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, patient="unknown")
    found = _check(_write(tmp_path, rows))
    assert found["patients_recorded"].verdict == "cannot be tested"
    assert found["patient_overlap"].verdict == "cannot be tested"


def test_some_patients_unknown_is_not_green(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(20):
        _change(rows, at, patient="")
    found = _check(_write(tmp_path, rows))
    assert found["patients_recorded"].verdict == "amber"
    assert found["patient_overlap"].verdict == "cannot be tested"
    assert "20 of 200 rows name no patient" in found["patient_overlap"].sentence


@pytest.mark.slow
def test_an_image_in_two_splits_is_red_and_a_copy_of_its_name_amber(tmp_path: Path) -> None:
    rows = _make_rows()
    _change(rows, 170, image="IMAGE0003.png")
    finding = _check(_write(tmp_path, rows))["image_overlap"]
    assert (finding.verdict, _get(finding, "Images in more than one split")) == ("red", 1)
    _change(rows, 170, image="image0003 (1).jpg")
    finding = _check(_write(tmp_path, rows))["image_overlap"]
    assert finding.verdict == "amber"
    assert _get(finding, "Names in more than one split that may mean copies") == 1
    assert "rows 5 and 172 of list.csv" in finding.sentence


@pytest.mark.slow
def test_numbered_names_are_no_copies(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, image=f"COVID ({at}).png")
    assert _check(_write(tmp_path, rows))["image_overlap"].verdict == "green"


@pytest.mark.slow
def test_numbers_that_each_folder_begins_anew_are_no_copies(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, image=f"{rows[at][4]}/{rows[at][2]}/{at % 40}.png")
    assert _check(_write(tmp_path, rows))["image_overlap"].verdict == "green"
    for at in range(len(rows)):
        _change(rows, at, image=f"{at % 40}.png")
    finding = _check(_write(tmp_path, rows))["image_overlap"]
    assert (finding.verdict, _get(finding, "Images in more than one split")) == ("amber", 0)


@pytest.mark.slow
def test_repeated_rows_and_two_labels_are_told_apart(tmp_path: Path) -> None:
    rows = _make_rows()
    found = _check(_write(tmp_path, [*rows, rows[0], rows[0], rows[1]]))
    assert found["duplicate_rows"].verdict == "amber"
    assert _get(found["duplicate_rows"], "Repeated rows") == 3
    assert found["label_conflicts"].verdict == "green"
    torn = (rows[0][0], rows[0][1], "covid", *rows[0][3:])
    found = _check(_write(tmp_path, [*rows, torn]))
    assert found["label_conflicts"].verdict == "red"
    assert _get(found["label_conflicts"], "Images with two classes") == 1


@pytest.mark.slow
def test_a_class_from_one_source_is_red(
    tmp_path: Path, without_interval: pytest.MonkeyPatch
) -> None:
    without_interval.undo()
    rows = _make_rows()
    for at, row in enumerate(rows):
        _change(rows, at, source="cohen" if row[2] == "covid" else "nih")
    finding = _check(_write(tmp_path, rows))["source_confounding"]
    assert finding.verdict == "red"
    assert finding.measures[0].value == pytest.approx(1)
    assert finding.measures[1].low is not None
    assert "test on sources left out" in finding.sentence


def test_a_class_from_one_source_in_the_test_alone_is_amber(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(160, 200):
        _change(rows, at, source="ab"[at % 2])
    finding = _check(_write(tmp_path, rows))["source_confounding"]
    assert finding.verdict == "amber"
    assert "In test alone" in finding.sentence


@pytest.mark.slow
def test_two_classes_that_share_no_source_are_red(tmp_path: Path) -> None:
    # normal 60 of nih, covid 60 of cohen, pneumonia 60 of each. Expected: 30, 30 and 60, so
    # chi² = 2 · 2 · 30² / 30 = 120 and V = √(120 / 240) = 0.71: amber by itself.
    classes = ["normal", "covid", "pneumonia", "pneumonia"] * 60
    rows = [
        (
            f"{at:05}.png",
            f"p{at}",
            name,
            ("nih", "cohen")[at % 2],
            ("train", "val", "test")[at // 4 % 3],
        )
        for at, name in enumerate(classes)
    ]
    finding = _check(_write(tmp_path, rows))["source_confounding"]
    assert finding.verdict == "red"
    assert finding.measures[0].value == pytest.approx(0.5**0.5)
    assert "covid and normal hardly share a source (0 of 60 rows" in finding.sentence
    assert _get(finding, "Share of covid and pneumonia that can be matched by source") == 1
    for at in range(0, 16, 4):  # 4 of 60 can be matched: more than 5 %
        _change(rows, at, source="cohen")
    assert _check(_write(tmp_path, rows))["source_confounding"].verdict == "amber"


@pytest.mark.parametrize("source", ["", "n/a"])
def test_without_sources_confounding_cannot_be_tested(tmp_path: Path, source: str) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, source=source)
    finding = _check(_write(tmp_path, rows))["source_confounding"]
    assert finding.verdict == "cannot be tested"


def test_an_address_for_each_image_is_no_source(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, source=f"https://example.org/{at}")
    finding = _check(_write(tmp_path, rows))["source_confounding"]
    assert finding.verdict == "cannot be tested"


@pytest.mark.slow
def test_a_missing_validation_and_a_missing_test_set_are_told(tmp_path: Path) -> None:
    rows = _make_rows()
    found = _check(_write(tmp_path, [row for row in rows if row[4] != "val"]))
    assert found["validation_set"].verdict == "amber"
    assert "chosen on the test set" in found["validation_set"].sentence
    assert found["test_set"].verdict == "green"
    found = _check(_write(tmp_path, [row for row in rows if row[4] != "test"]))
    assert found["test_set"].verdict == "red"
    assert found["test_size"].verdict == "cannot be tested"


def test_one_split_alone_cannot_be_tested(tmp_path: Path) -> None:
    found = _check(_write(tmp_path, [row for row in _make_rows() if row[4] == "train"]))
    doubtful = [name for name, finding in found.items() if finding.verdict == "cannot be tested"]
    assert set(doubtful) == {
        "patient_overlap",
        "image_overlap",
        "validation_set",
        "test_set",
        "test_size",
        "split_shares",
    }


def test_a_list_whose_split_is_unknown_is_named_with_the_way_out(tmp_path: Path) -> None:
    train = _write_text(tmp_path / "train.csv", "image,label\na.png,normal\nb.png,covid\n")
    other = _write_text(tmp_path / "rest.csv", "image,label\nc.png,normal\nd.png,covid\n")
    tables = read_claims([train, other])
    finding = next(one for one in check_rows(tables) if one.question == "test_set")
    assert "The rows of rest.csv name no split" in finding.sentence
    assert "--split test=rest.csv" in finding.sentence


@pytest.mark.slow
def test_rows_without_a_split_are_named_and_no_overlap_is_not_green(tmp_path: Path) -> None:
    rest = _write_text(tmp_path / "rest.csv", "image,patient\nimage0000.png,p0\n")
    tables = read_claims([_write(tmp_path, _make_rows()), rest])
    found = {one.question: one for one in check_rows(tables)}
    for name in ("patient_overlap", "image_overlap"):
        assert found[name].verdict == "amber"
        assert "1 row has no split (rest.csv) and cannot be compared." in found[name].sentence


def test_folds_of_a_cross_validation_are_splits(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, split=f"fold {at % 5}")
    _change(rows, 7, patient="p6")
    found = _check(_write(tmp_path, rows))
    assert found["patient_overlap"].verdict == "red"
    assert _get(found["patient_overlap"], "Patients in more than one split") == 1
    assert found["test_set"].verdict == "cannot be tested"


@pytest.mark.slow
def test_an_uneven_and_a_missing_class_are_told(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(len(rows)):
        _change(rows, at, label="covid" if at % 20 == 0 else "normal")
    found = _check(_write(tmp_path, rows))
    assert found["class_balance"].verdict == "amber"
    assert _get(found["class_balance"], "Largest class to smallest") == 19  # 190 to 10
    assert found["test_size"].verdict == "amber"  # 2 of 40
    assert "covid: 2" in found["test_size"].sentence
    for at in range(160, 200):
        _change(rows, at, label="normal")
    finding = _check(_write(tmp_path, rows))["class_balance"]
    assert finding.verdict == "red"
    assert "Only in training: covid." in finding.sentence


@pytest.mark.slow
def test_the_interval_of_a_perfect_score_is_that_of_clopper_and_pearson(tmp_path: Path) -> None:
    rows = [row for row in _make_rows() if row[4] != "test" or int(row[1][1:]) < 180]
    finding = _check(_write(tmp_path, rows))["test_size"]
    assert finding.verdict == "amber"
    assert finding.measures[0].n == 10
    assert finding.measures[0].low == pytest.approx(0.025 ** (1 / 10))
    assert "0.692 to 1" in finding.sentence


@pytest.mark.slow
def test_images_of_one_patient_are_one_test_patient(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in range(160, 200):
        _change(rows, at, patient=f"t{at % 4}")  # two patients of each class
    finding = _check(_write(tmp_path, rows))["test_size"]
    assert {measure.n for measure in finding.measures} == {2}


@pytest.mark.slow
def test_shares_are_of_patients_and_a_tiny_test_is_amber(tmp_path: Path) -> None:
    rows = _make_rows()
    finding = _check(_write(tmp_path, rows))["split_shares"]
    assert "train 60.0 % (120), val 20.0 % (40), test 20.0 % (40)" in finding.sentence
    few = [row for row in rows if row[4] != "test" or int(row[1][1:]) < 166]
    finding = _check(_write(tmp_path, few))["split_shares"]
    assert (finding.verdict, finding.measures[2].value) == ("amber", 6 / 166)


# Layouts.


@pytest.mark.slow
def test_one_file_for_each_split_says_its_split_by_its_name(tmp_path: Path) -> None:
    rows = _make_rows()
    paths = []
    for split, name in (("train", "train_v2.csv"), ("val", "valid.csv"), ("test", "Test-set.csv")):
        text = "\n".join(",".join(row[:4]) for row in rows if row[4] == split)
        paths.append(_write_text(tmp_path / name, f"image,patient,label,source\n{text}\n"))
    tables = read_claims(paths)
    assert tables.splits == ("train", "val", "test")
    assert "The split of 'valid.csv' is read as 'val'." in tables.notes
    assert {finding.verdict for finding in check_rows(tables)} == {"green"}


def test_a_given_split_comes_before_the_column(tmp_path: Path) -> None:
    rows = _make_rows()
    first, second = _write(tmp_path, rows[:100], "a.csv"), _write(tmp_path, rows[100:], "b.csv")
    tables = read_claims([], splits=[("Training", first), ("fold 2", second)])
    assert [row.split for row in (tables.rows[0], tables.rows[-1])] == ["train", "fold 2"]


COVIDX_TRAIN = """\
101 scan-day0.jpeg pneumonia cohen
101 scan-day5.jpeg pneumonia cohen
ANON23 COVID (12).png COVID-19 fig1
c0ffee00-0000-4000-8000-00000000c0de c0ffee00-0000-4000-8000-00000000c0de.png normal rsna
"""
COVIDX_TEST = """\
101 scan-day9.jpeg pneumonia cohen
SITE-0002 STUDY-1C-SITE-0002-8.458-0.png COVID-19 ricord

c0ffee00-0000-4000-8000-00000000c0df c0ffee00-0000-4000-8000-00000000c0df.png normal
"""


def test_the_lists_of_covidx_are_read_with_and_without_a_source(tmp_path: Path) -> None:
    train = _write_text(tmp_path / "train_COVIDx9A.txt", COVIDX_TRAIN)
    test = _write_text(tmp_path / "test_COVIDx9A.txt", COVIDX_TEST)
    tables = read_claims([train, test])
    assert len(tables.rows) == 7
    assert (tables.rows[2].image, tables.rows[2].class_name) == ("COVID (12).png", "COVID-19")
    assert tables.rows[6].number == 4  # as an editor shows it, an empty line before
    assert [row.source for row in tables.rows[4:]] == ["cohen", "ricord", ""]
    found = _check(train, test)
    assert _get(found["patient_overlap"], "Patients in more than one split") == 1
    assert found["patient_overlap"].verdict == "red"
    assert found["source_confounding"].verdict == "red"
    assert found["validation_set"].verdict == "amber"


def test_a_list_of_files_is_joined_with_a_table_of_labels(tmp_path: Path) -> None:
    lines = [f"{at:08}_000.png,Effusion|Mass,{at % 3}" for at in range(9)]
    labels = _write_text(
        tmp_path / "Data_Entry.csv",
        "\n".join(["Image Index,Finding Labels,Patient ID", *lines]),
    )
    names = [line.partition(",")[0] for line in lines]
    train = _write_text(tmp_path / "train_val_list.txt", "\n".join(names[:6]))
    test = _write_text(tmp_path / "test_list.txt", "\n".join(names[6:]))
    tables = read_claims([labels, train, test])
    assert len(tables.rows) == 9
    assert tables.splits == ("train", "test")
    found = {finding.question: finding for finding in check_rows(tables)}
    # patients 1 and 2 of three; "0" stands for nobody
    assert _get(found["patient_overlap"], "Patients in more than one split") == 2
    assert found["duplicate_rows"].verdict == "green"
    assert any("9 images of the split lists stand in 'Data_Entry.csv'" in n for n in tables.notes)


def test_json_is_read_as_objects_as_splits_and_as_paths(tmp_path: Path) -> None:
    rows = _make_rows()
    keys = ("image", "patient", "label", "source", "split")
    objects = [dict(zip(keys, row, strict=True)) for row in rows]
    flat = _write_text(tmp_path / "flat.json", json.dumps(objects))
    parts = {
        split: [one for one in objects if one["split"] == split]
        for split in ("train", "val", "test")
    }
    nested = _write_text(tmp_path / "nested.json", json.dumps({**parts, "version": 1}))
    lines = _write_text(tmp_path / "lines.jsonl", "\n".join(map(json.dumps, objects)))
    expected = [(row.split, row.image, row.class_name) for row in read_claims([flat]).rows]
    for path in (nested, lines):
        read = read_claims([path]).rows
        assert [(row.split, row.image, row.class_name) for row in read] == expected
    paths = {"train": ["train/NORMAL/x.jpeg", "train/PNEUMONIA/y.jpeg"], "test": ["NORMAL/x.jpeg"]}
    tables = read_claims([_write_text(tmp_path / "paths.json", json.dumps(paths))])
    assert [row.class_name for row in tables.rows] == ["NORMAL", "PNEUMONIA", "NORMAL"]
    assert "No column has the class; it is read from the folders of the paths." in tables.notes
    classes = {"train": {"NORMAL": ["x.png"]}, "dev": {"NORMAL": ["y.png"]}}
    tables = read_claims([_write_text(tmp_path / "classes.json", json.dumps(classes))])
    assert [(row.split, row.class_name) for row in tables.rows] == [
        ("train", "NORMAL"),
        ("val", "NORMAL"),
    ]


def test_columns_of_0_and_1_and_the_folders_of_chexpert_are_read(tmp_path: Path) -> None:
    text = """\
Path,Sex,Age,No Finding,Edema,Pneumonia
CheXpert/train/patient00001/study1/view1_frontal.jpg,F,68,1.0,,
CheXpert/train/patient00002/study1/view1_frontal.jpg,M,50,,1.0,1.0
CheXpert/valid/patient00002/study2/view1_frontal.jpg,M,51,,-1.0,1.0
CheXpert/valid/patient00003/study1/view1_frontal.jpg,M,51,,0.0,
"""
    tables = read_claims([_write_text(tmp_path / "labels.csv", text)])
    assert [row.class_name for row in tables.rows] == [
        "No Finding",
        "Edema|Pneumonia",
        "Pneumonia",
        "No Finding",
    ]
    assert [row.split for row in tables.rows] == ["train", "train", "val", "val"]
    assert tables.multi_label
    found = {finding.question: finding for finding in check_rows(tables)}
    assert _get(found["patient_overlap"], "Patients in more than one split") == 1
    assert "combination of findings" in found["class_balance"].sentence


def test_a_split_that_is_not_recorded_is_none(tmp_path: Path) -> None:
    text = "image,split\na.png,n/a\nb.png,TEST\nc.png,\nd.png,0\n"
    tables = read_claims([_write_text(tmp_path / "list.csv", text)])
    assert [row.split for row in tables.rows] == ["", "test", "", "0"]


def test_a_combination_is_one_class_whatever_its_order_and_spelling(tmp_path: Path) -> None:
    text = "image,label\na.png,Mass|Effusion\nb.png,effusion|MASS\nc.png,Mass|Effusion|Mass\n"
    tables = read_claims([_write_text(tmp_path / "labels.csv", text)])
    assert {row.class_name for row in tables.rows} == {"Effusion|Mass"}


def test_a_csv_without_headings_is_read_by_its_file_names(tmp_path: Path) -> None:
    text = "x.png,normal\ny.png,covid\n"
    tables = read_claims([_write_text(tmp_path / "train.csv", text)])
    assert [(row.number, row.image, row.class_name) for row in tables.rows] == [
        (1, "x.png", "normal"),
        (2, "y.png", "covid"),
    ]


def test_a_dataset_of_train_and_test_is_a_split_and_no_source(tmp_path: Path) -> None:
    text = "image,label,dataset\nx.png,normal,TRAIN\ny.png,covid,TEST\n"
    tables = read_claims([_write_text(tmp_path / "meta.csv", text)])
    assert tables.splits == ("train", "test")
    assert {row.source for row in tables.rows} == {""}


def test_columns_are_named_and_other_separators_read(tmp_path: Path) -> None:
    path = _write_text(tmp_path / "t.tsv", "X\tY\tW\nx.png\ta;b\t7\n")
    options = TableOptions(columns={"path": "X", "class": "Y", "patient": "W"}, separator=";")
    (row,) = read_claims([path], options=options).rows
    assert (row.image, row.class_name, row.patient_id) == ("x.png", "a|b", "7")


@pytest.mark.slow
def test_nothing_that_may_name_a_person_is_shown(tmp_path: Path) -> None:
    rows = _make_rows()
    for at in (0, 1, 172, 173):
        _change(rows, at, patient="Smith^Jane", image="Smith_Jane.png")
    found = _check(_write(tmp_path, rows))
    assert found["patient_overlap"].verdict == "red"
    assert "Smith" not in json.dumps([finding.model_dump() for finding in found.values()])
    assert "Smith" not in repr(read_claims([_write(tmp_path, rows)]).rows[0])


# Bad input: one sentence that says what to do.


def _bad(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


BAD = {
    "missing": (lambda folder: folder / "none.csv", "There is no"),
    "a folder": (lambda folder: folder, "is a folder"),
    "empty": (_bad("t.csv", ""), "is empty"),
    "blank lines": (_bad("t.csv", "\n\n  \n"), "is empty"),
    "empty text list": (_bad("train.txt", "# nothing\n"), "is empty"),
    "headings only": (_bad("t.csv", "image,label\n"), "no rows"),
    "latin-1": (_bad("t.csv", "image,label\nä.png,x\n".encode("latin-1")), "not written in UTF-8"),
    "utf-16 without its mark": (_bad("t.csv", "image,label\n".encode("utf-16-le")), "zero bytes"),
    "a PNG": (_bad("train.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "is a PNG file, not a table"),
    "a JPEG as text list": (_bad("train.txt", b"\xff\xd8\xff\xe0\0\x10JFIF"), "is a JPEG file"),
    "an xlsx called csv": (_bad("t.csv", b"PK\x03\x04\xff\xfe\0"), "ZIP or xlsx"),
    "ragged": (_bad("t.csv", "image,label\nx.png,a\ny.png,b,c\n"), "has 3 cells"),
    "no known heading": (_bad("t.csv", "a,b\n1,2\n"), "--columns path=HEADING"),
    "a heading twice": (_bad("t.csv", "image,Image,label\nx,y,z\n"), "several columns"),
    "a cell of 4 KB": (_bad("t.csv", f"image,label\nx.png,{'b' * 4096}\n"), "4,096 letters"),
    "an open quotation mark": (
        _bad("t.csv", 'image,label\n"x.png,a\n' + "y" * 140_000),
        "cannot be read",
    ),
    "patients as classes": (
        _bad("t.csv", "image,label\n" + "".join(f"{at}.png,Smith{at}\n" for at in range(60))),
        "60 different values in 60 rows",
    ),
    "a number for each split": (
        _bad("t.csv", "image,split\n" + "".join(f"{at}.png,{at}\n" for at in range(60))),
        "60 different values",
    ),
    "words": (_bad("train.txt", "these are no images\nat all\n"), "Line 2"),
    "two layouts in one list": (_bad("train.txt", "1 x.png a b\n1 y.png a b c d\n"), "Line 2"),
    "broken JSON": (_bad("t.json", '[{"image": "x.png"'), "not readable JSON"),
    "deep JSON": (_bad("t.json", "[" * 100_000), "not readable JSON"),
    "JSON of one number": (_bad("t.json", "3"), "layout that is known"),
    "JSON without splits": (_bad("t.json", '{"images": ["x.png"]}'), "layout that is known"),
    "JSON of numbers": (_bad("t.json", "[1, 2]"), "Entry 1"),
    "JSON without images": (_bad("t.json", '[{"a": 1}]'), "--columns path=HEADING"),
    "an empty JSON list": (_bad("t.json", '{"train": []}'), "is empty"),
    "a key twice": (_bad("t.json", '[{"image": "x", "image": "y"}]'), "one key twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    write, message = BAD[name]
    with pytest.raises(CXResnetError) as caught:
        read_claims([write(tmp_path)])  # type: ignore[operator]
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert "Smith" not in str(caught.value)


def test_formulas_and_control_characters_are_text(tmp_path: Path) -> None:
    text = 'image,label,source\nx.png,"=cmd()",\x1b[2J\ny.png,@SUM(1),b\n'
    tables: ClaimTables = read_claims([_write_text(tmp_path / "t.csv", text)])
    assert [row.class_name for row in tables.rows] == ["=cmd()", "@SUM(1)"]
    assert tables.rows[0].source == "\\x1b[2J"
    assert len(check_rows(tables)) == len(QUESTIONS)


def test_no_table_at_all_and_unknown_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name at least one table"):
        read_claims([])
    path = _write(tmp_path, _make_rows())
    with pytest.raises(SourceError, match="no column 'Nowhere'"):
        read_claims([path], options=TableOptions(columns={"path": "Nowhere"}))
