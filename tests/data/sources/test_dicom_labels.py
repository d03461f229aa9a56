"""A table beside DICOM images that says which image shows what."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.config import DataConfig
from cxresnet.core.errors import ClassMapError, SourceError
from cxresnet.data.prepare.prepare import scan_source
from cxresnet.data.sources.dicom_identity import DicomIdentitySource
from cxresnet.data.sources.dicom_labels import UnlabelledSource
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.open import SourceOptions, open_source

KEY = bytes(range(32))


def open_folder(root: Path, labels: Path) -> DicomIdentitySource:
    inner = UnlabelledSource(FolderStore(root), build_class_map())
    return DicomIdentitySource(inner, labels=labels, key=KEY)


def by_path(source: DicomIdentitySource) -> dict[str, Any]:
    return {source.find_file(record.image_id): record for record in source.scan().records}


@pytest.fixture
def images(tmp_path: Path, kit: Any) -> Path:
    """Two images of one patient, one of another, and papers beside them."""
    root = tmp_path / "archive"
    sparrow = {"PatientID": "sparrow", "AccessionNumber": "canary-acc-1"}
    for name, content in {
        "a/CANARY_YELLOW/1.dcm": kit.make_image(SOPInstanceUID="1.2.1"),
        "a/CANARY_YELLOW/IM0002": kit.make_image(SOPInstanceUID="1.2.2"),
        "train/b/x.dcm": kit.make_image(SOPInstanceUID="1.2.3", **sparrow),
        "DICOMDIR": kit.make_image(),
        "b/readme.txt": b"hello",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize(
    "table",
    [
        "SOPInstanceUID,class\n1.2.1,covid\n1.2.2,pneumonia\n1.2.3,normal\n",
        "file,finding\na/CANARY_YELLOW/1.dcm,covid\nIM0002,pneumonia\nx,normal\n",
        "PatientID;Label\ncanary-4711;pneumonia\nsparrow;normal\n",
        "accession number\tdiagnosis\ncanary-acc-1\tnormal\n",
    ],
)
def test_a_table_says_which_image_shows_what(images: Path, tmp_path: Path, table: str) -> None:
    labels = tmp_path / ("labels.tsv" if "\t" in table else "labels.csv")
    labels.write_text(table)
    classes = {
        path.rpartition("/")[2]: record.class_name
        for path, record in by_path(open_folder(images, labels)).items()
    }
    if "Label" in table:
        assert classes == {"1.dcm": "pneumonia", "IM0002": "pneumonia", "x.dcm": "normal"}
    elif "diagnosis" in table:
        assert set(classes.values()) == {"normal"}
    else:
        assert classes == {"1.dcm": "covid-19", "IM0002": "pneumonia", "x.dcm": "normal"}


def test_an_image_that_the_table_does_not_name_is_rejected(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("SOPInstanceUID,class\n1.2.1,covid\n1.2.2,\n")
    found = open_folder(images, labels).scan()
    assert len(found.records) == 1
    assert [rejection.code for rejection in found.rejections] == ["no-label", "no-label"]
    assert found.classes == ("covid-19",)


def test_a_class_of_the_table_is_missed_if_no_header_is_that_of_a_chest(
    images: Path, tmp_path: Path, kit: Any
) -> None:
    hand = kit.make_image(SOPInstanceUID="1.2.3", BodyPartExamined="HAND")
    (images / "train" / "b" / "x.dcm").write_bytes(hand)
    labels = tmp_path / "labels.csv"
    labels.write_text("SOPInstanceUID,class\n1.2.1,covid\n1.2.2,pneumonia\n1.2.3,normal\n")
    source = open_folder(images, labels)
    with pytest.raises(ClassMapError, match=r"class 'normal'.*--any-body-part"):
        scan_source(source, config=DataConfig())


def test_dicom_is_labelled_whatever_its_name_ends_with(
    images: Path, tmp_path: Path, kit: Any
) -> None:
    (images / "a" / "scan.log").write_bytes(kit.make_image(SOPInstanceUID="1.2.4"))
    labels = tmp_path / "labels.csv"
    labels.write_text("SOPInstanceUID,class\n1.2.4,covid\n")
    assert set(by_path(open_folder(images, labels))) == {"a/scan.log"}


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ("SOPInstanceUID,class\n9.9,covid\n", SourceError, "none of the 3 DICOM images"),
        ("SOPInstanceUID,class\n1.2.1,covdi\n", ClassMapError, "Did you mean"),
        ("SOPInstanceUID,class\n1.2.1,covid\n1.2.1,normal\n", SourceError, "Row 3 .* second"),
        ("SOPInstanceUID,colour\n1.2.1,red\n", SourceError, "needs a column of labels"),
        ("name of dog,class\nrex,covid\n", SourceError, "one that names images"),
        ("", SourceError, "empty"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    images: Path, tmp_path: Path, table: str, error: type[Exception], message: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(table)
    with pytest.raises(error, match=message):
        open_folder(images, labels).scan()


def test_a_table_that_is_not_there_is_an_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        open_folder(images, tmp_path / "none.csv").scan()


def test_a_table_of_labels_goes_with_an_archive_too(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "key"))
    labels = tmp_path / "labels.csv"
    labels.write_text("PatientID,class\ncanary-4711,covid\nsparrow,normal\n")
    zipped = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", images))
    found = [
        open_source(str(place), SourceOptions(labels=labels)).scan().records
        for place in (images, zipped)
    ]
    facts = [[(one.image_id, one.class_name, one.patient_id) for one in part] for part in found]
    assert facts[0] == facts[1]
    assert sorted(one.class_name for one in found[1]) == ["covid-19", "covid-19", "normal"]


def test_a_table_that_names_files_labels_pictures_too(
    images: Path, tmp_path: Path, tiny_png: bytes
) -> None:
    (images / "b" / "p.png").write_bytes(tiny_png)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\np.png,normal\n1.dcm,covid\n")
    records = by_path(open_folder(images, labels))
    classes = {path: record.class_name for path, record in records.items()}
    assert classes == {"b/p.png": "normal", "a/CANARY_YELLOW/1.dcm": "covid-19"}


@pytest.mark.parametrize(
    "name",
    [
        "A/canary_yellow/1.DCM",
        "./a/CANARY_YELLOW/1",
        "a\\CANARY_YELLOW\\1.dcm",
        "archive/a/CANARY_YELLOW/1.dcm",
        "{root}/a/CANARY_YELLOW/1.dcm",
    ],
)
def test_a_file_is_found_in_another_spelling_of_its_name(
    images: Path, tmp_path: Path, name: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"file,class\n{name.format(root=images)},covid\n")
    assert set(by_path(open_folder(images, labels))) == {"a/CANARY_YELLOW/1.dcm"}


def test_a_file_is_found_whether_its_letters_are_composed_or_not(
    images: Path, tmp_path: Path, kit: Any
) -> None:
    (images / "b" / "a\u0308.dcm").write_bytes(kit.make_image(SOPInstanceUID="1.2.4"))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\nb/\u00e4.dcm,covid\n", encoding="utf-8")
    assert set(by_path(open_folder(images, labels))) == {"b/a\u0308.dcm"}


def test_a_name_of_several_files_labels_none_of_them(
    images: Path, tmp_path: Path, kit: Any
) -> None:
    (images / "b" / "1.dcm").write_bytes(kit.make_image(SOPInstanceUID="1.2.4"))
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\n1.dcm,normal\nb/1.dcm,covid\n")
    source = open_folder(images, labels)
    classes = {path: record.class_name for path, record in by_path(source).items()}
    assert classes == {"b/1.dcm": "covid-19"}
    rejected = {source.find_file(row.image_id): row.code for row in source.scan().rejections}
    assert rejected["a/CANARY_YELLOW/1.dcm"] == "ambiguous-name"


def test_a_bare_name_is_that_of_the_image_and_not_of_its_mask(
    images: Path, tmp_path: Path, tiny_png: bytes
) -> None:
    (images / "masks").mkdir()
    (images / "masks" / "x.png").write_bytes(tiny_png)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\nx,normal\n")
    assert set(by_path(open_folder(images, labels))) == {"train/b/x.dcm"}


def test_a_label_of_an_image_that_is_not_there_claims_its_class(
    images: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\n1.dcm,covid\ngone.dcm,normal\n")
    assert open_folder(images, labels).scan().classes == ("covid-19", "normal")


def test_a_cell_that_means_no_label_is_none(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,class\n1.dcm,covid\nx.dcm,nan\n")
    found = open_folder(images, labels).scan()
    assert [row.code for row in found.rejections].count("no-label") == 2
