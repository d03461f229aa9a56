"""A folder of DICOM images: classes, patients, rejections, and no name of anybody."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError, EmptySourceError, ImageError, SourceError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.sources.dicom_folder import DicomFolderSource, holds_dicom

KEY = bytes(range(32))


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def open_folder(
    root: Path, *, labels: Path | None = None, require_two_classes: bool = False
) -> Any:
    return DicomFolderSource(
        root,
        class_map=build_class_map(),
        labels=labels,
        key=KEY,
        require_two_classes=require_two_classes,
    )


def by_path(source: DicomFolderSource) -> dict[str, Any]:
    return {source.find_file(record.image_id): record for record in source.scan().records}


@pytest.fixture
def images(tmp_path: Path, kit: Any) -> Path:
    """Two images of one patient in one study, one of another, and papers beside them."""
    tags = {"Manufacturer": "ACME", "ViewPosition": "PA", "PatientAge": "045Y", "PatientSex": "F"}
    return write(
        tmp_path / "archive",
        {
            "covid/CANARY_YELLOW/1.dcm": kit.make_image(**tags, SOPInstanceUID="1.2.1"),
            "covid/CANARY_YELLOW/IM0002": kit.make_image(
                **(tags | {"ViewPosition": "LL"}), SOPInstanceUID="1.2.2"
            ),
            "train/normal/x.dcm": kit.make_image(
                SOPInstanceUID="1.2.3", PatientID="sparrow", StudyInstanceUID="1.9"
            ),
            "DICOMDIR": kit.make_image(),
            "normal/readme.txt": b"hello",
        },
    )


def test_class_patient_source_and_the_rest_are_read(images: Path) -> None:
    records = by_path(open_folder(images))
    frontal = records["covid/CANARY_YELLOW/1.dcm"]
    lateral = records["covid/CANARY_YELLOW/IM0002"]
    other = records["train/normal/x.dcm"]
    assert len(records) == 3
    assert (frontal.class_name, frontal.source, frontal.view) == ("covid-19", "ACME", "PA")
    assert (frontal.age_years, frontal.sex) == ("45", "F")
    assert lateral.view == "lateral"
    assert lateral.patient_id == frontal.patient_id != other.patient_id
    assert len({record.image_id for record in records.values()}) == 3
    assert (other.class_name, other.given_split, other.source) == ("normal", "train", "archive")


def test_records_come_in_the_order_of_their_ids_every_time(images: Path) -> None:
    found = open_folder(images).scan()
    assert [record.image_id for record in found.records] == sorted(
        record.image_id for record in found.records
    )
    assert open_folder(images).scan() == found


def test_images_are_read_back_also_after_the_way_to_another_process(images: Path) -> None:
    source = pickle.loads(pickle.dumps(open_folder(images)))  # noqa: S301  our own bytes
    for record in source.scan().records:
        assert decode_image(source.read(record.location)).format == "DICOM"


def test_nobodys_name_is_in_what_is_written(images: Path, kit: Any) -> None:
    write(images, {"covid/CANARY_YELLOW/hand.dcm": kit.make_image(BodyPartExamined="HAND")})
    (images / "covid" / "CANARY_LINK.dcm").symlink_to("/nowhere/canary")
    source = open_folder(images)
    found = source.scan()
    spoken = repr((found, source)).lower()
    assert len(found.rejections) == 2
    for name in ("canary", "4711", "sparrow", "1961", "1.2.826"):
        assert name not in spoken


def test_another_key_gives_other_names(images: Path) -> None:
    ours = open_folder(images).scan().records
    theirs = DicomFolderSource(
        images, class_map=build_class_map(), key=bytes(32), require_two_classes=False
    ).scan()
    for pick in ("image_id", "patient_id"):
        assert not {getattr(r, pick) for r in ours} & {getattr(r, pick) for r in theirs.records}


def test_without_a_patient_the_study_stands_for_the_patient(tmp_path: Path, kit: Any) -> None:
    root = write(
        tmp_path,
        {
            f"normal/{number}": kit.make_image(PatientID="ANONYMOUS", StudyInstanceUID=study)
            for number, study in enumerate(("1.1", "1.1", "1.2"))
        },
    )
    records = by_path(open_folder(root))
    patients = [records[f"normal/{number}"].patient_id for number in range(3)]
    assert patients[0] == patients[1] != patients[2]


def test_without_patient_and_study_nobody_is_known(tmp_path: Path, kit: Any) -> None:
    root = write(tmp_path, {"normal/1": kit.make_image(PatientID="", StudyInstanceUID="")})
    assert open_folder(root).scan().records[0].patient_id == ""


def test_what_cannot_be_used_is_listed_with_its_code(tmp_path: Path, kit: Any) -> None:
    root = write(
        tmp_path,
        {
            "normal/good": kit.make_image(),
            "normal/ct": Path(get_testdata_file("CT_small.dcm")).read_bytes(),
            "normal/torn.dcm": kit.make_image()[:200],
            "normal/empty.dcm": b"",
            "normal/text.dcm": b"not an image at all",
            "normal/notes.md": b"# notes",
        },
    )
    found = open_folder(root).scan()
    codes = sorted(rejection.code for rejection in found.rejections)
    assert len(found.records) == 1
    assert codes[:2] == ["empty", "not-a-chest-radiograph"]
    assert codes[3] == "not-an-image"
    assert any(warning.startswith("1 files that are not DICOM") for warning in found.warnings)


def test_a_folder_may_be_left_out(images: Path) -> None:
    class_map = build_class_map({"ignore": ["covid"]})
    found = DicomFolderSource(
        images, class_map=class_map, key=KEY, require_two_classes=False
    ).scan()
    assert [record.class_name for record in found.records] == ["normal"]
    assert any("2 DICOM images were left out" in warning for warning in found.warnings)


def test_a_folder_that_no_class_claims_is_an_error_without_its_name(
    tmp_path: Path, kit: Any
) -> None:
    root = write(tmp_path / "images", {"CANARY/1": kit.make_image(), "normal/2": kit.make_image()})
    with pytest.raises(ClassMapError, match=r"1 DICOM images .* --classes normal=FOLDER") as caught:
        open_folder(root).scan()
    assert "CANARY" not in str(caught.value)


def test_one_class_alone_is_an_error(tmp_path: Path, kit: Any) -> None:
    root = write(tmp_path, {"normal/1": kit.make_image()})
    with pytest.raises(ClassMapError, match="one class only"):
        open_folder(root, require_two_classes=True).scan()


def test_a_folder_without_images_is_an_error(tmp_path: Path, kit: Any) -> None:
    with pytest.raises(EmptySourceError, match="No image"):
        open_folder(write(tmp_path / "a", {"normal/x.txt": b"x"})).scan()
    root = write(tmp_path / "b", {"normal/x.dcm": kit.make_image(Modality="CT")})
    with pytest.raises(EmptySourceError, match="Modality"):
        open_folder(root).scan()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        open_folder(tmp_path / "none").scan()


def test_a_loop_of_links_ends(images: Path) -> None:
    (images / "covid" / "again").symlink_to(images, target_is_directory=True)
    assert len(open_folder(images).scan().records) == 3


def test_an_image_that_is_gone_is_refused_without_its_name(images: Path) -> None:
    source = open_folder(images)
    location = by_path(source)["covid/CANARY_YELLOW/1.dcm"].location
    (images / "covid" / "CANARY_YELLOW" / "1.dcm").unlink()
    with pytest.raises(ImageError, match="missing") as caught:
        source.read(location)
    assert "CANARY" not in str(caught.value)
    assert caught.value.code == "missing"


def test_a_location_that_is_no_pseudonym_is_refused(images: Path) -> None:
    (images.parent / "secret").write_bytes(b"x")
    for location in ("../secret", "covid/CANARY_YELLOW/1.dcm"):
        with pytest.raises(ImageError):
            open_folder(images).read(location)


def test_with_the_key_a_rejected_image_is_found_again(images: Path, kit: Any) -> None:
    write(images, {"covid/hand.dcm": kit.make_image(BodyPartExamined="HAND")})
    (rejection,) = open_folder(images).scan().rejections
    assert open_folder(images).find_file(rejection.image_id) == "covid/hand.dcm"


def test_a_name_that_is_no_utf8_is_read(tmp_path: Path, kit: Any) -> None:
    folder = write(tmp_path, {"normal/1": kit.make_image()}) / "normal"
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_bytes(kit.make_image())
    assert len(open_folder(tmp_path).scan().records) == 2


def test_the_users_own_key_is_made_at_the_first_scan(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "keys" / "key"))
    source = DicomFolderSource(images, class_map=build_class_map(), require_two_classes=False)
    assert not (tmp_path / "keys").exists()
    first = source.scan()
    assert (tmp_path / "keys" / "key").is_file()
    assert source.scan() == first


# A table of labels


@pytest.mark.parametrize(
    "table",
    [
        "SOPInstanceUID,class\n1.2.1,covid\n1.2.2,pneumonia\n1.2.3,normal\n",
        "file,finding\ncovid/CANARY_YELLOW/1.dcm,covid\nIM0002,pneumonia\nx,normal\n",
        "PatientID;Label\ncanary-4711;pneumonia\nsparrow;normal\n",
        "accession number\tdiagnosis\ncanary-acc-1\tnormal\n",
    ],
)
def test_a_table_says_which_image_shows_what(images: Path, tmp_path: Path, table: str) -> None:
    labels = tmp_path / ("labels.tsv" if "\t" in table else "labels.csv")
    labels.write_text(table)
    classes = {
        path.rpartition("/")[2]: record.class_name
        for path, record in by_path(open_folder(images, labels=labels)).items()
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
    found = open_folder(images, labels=labels).scan()
    assert len(found.records) == 1
    assert [rejection.code for rejection in found.rejections] == ["no-label", "no-label"]


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
        open_folder(images, labels=labels).scan()


def test_a_table_that_is_not_there_is_an_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        open_folder(images, labels=tmp_path / "none.csv").scan()


# Telling a folder of DICOM


def test_a_folder_of_dicom_is_told_by_its_first_picture(
    images: Path, tmp_path: Path, tiny_png: bytes
) -> None:
    assert holds_dicom(images)
    assert not holds_dicom(write(tmp_path / "pictures", {"a.txt": b"x", "normal/1.png": tiny_png}))
    assert not holds_dicom(write(tmp_path / "papers", {"a.txt": b"x"}))


def test_pydicoms_own_files_are_all_gone_through(tmp_path: Path, kit: Any) -> None:
    """Everything that pydicom ships, none of it a chest X-ray: listed, and no error."""
    root = write(tmp_path / "archive", {"normal/good": kit.make_image()})
    shipped = Path(get_testdata_file("CT_small.dcm")).parent
    (root / "covid").mkdir()
    paths = [path for path in sorted(shipped.iterdir()) if path.is_file()]
    for path in paths:
        (root / "covid" / path.name).write_bytes(path.read_bytes())
    found = open_folder(root).scan()
    assert len(found.records) == 1
    assert len(found.rejections) > 50
    assert {rejection.code for rejection in found.rejections} <= {
        "not-a-chest-radiograph", "damaged", "truncated", "not-an-image",
    }  # fmt: skip
    assert np.isfinite(decode_image(open_folder(root).read(found.records[0].location)).pixels).all()
