"""DICOM in any source: classes, patients, rejections, and no name of anybody."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from cxresnet.core.classes import build_class_map
from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import ClassMapError, EmptySourceError, ImageError, SourceError
from cxresnet.data.decode.decoder import decode_image
from cxresnet.data.decode.record import PreparedImage, decode_record
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.dicom_identity import DicomIdentitySource
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.nested import open_nested
from cxresnet.data.sources.open import open_source
from cxresnet.data.sources.source import Rejection
from cxresnet.data.sources.table import TableSource

KEY = bytes(range(32))


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def open_folder(
    root: Path, *, require_two_classes: bool = False, class_map: Any = None, key: bytes = KEY
) -> DicomIdentitySource:
    inner = ClassFoldersSource(
        root, class_map or build_class_map(), require_two_classes=require_two_classes
    )
    return DicomIdentitySource(inner, key=key)


def by_path(source: DicomIdentitySource) -> dict[str, Any]:
    return {source.find_file(record.image_id): record for record in source.scan().records}


@pytest.fixture
def images(tmp_path: Path, kit: Any) -> Path:
    """Two images of one patient in one study, one of another, and papers beside them."""
    tags = {
        "Manufacturer": "Agfa, CANARY",
        "ViewPosition": "PA",
        "PatientAge": "045Y",
        "PatientSex": "F",
    }
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
    assert (frontal.class_name, frontal.source, frontal.view) == ("covid-19", "Agfa", "PA")
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
    theirs = open_folder(images, key=bytes(32)).scan()
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
    source = open_folder(root)
    found = source.scan()
    preprocessing = build_preprocessing(DataConfig(side_px=64))
    decoded = [decode_record(source, record, preprocessing) for record in found.records]
    refused = [one for one in decoded if isinstance(one, Rejection)]
    codes = sorted(rejection.code for rejection in (*found.rejections, *refused))
    assert len(decoded) - len(refused) == 1
    assert codes == ["empty", "no-pixels", "not-a-chest-radiograph", "not-an-image"]
    assert "torn" not in repr((found, refused))


def test_a_folder_may_be_left_out(images: Path) -> None:
    class_map = build_class_map({"ignore": ["covid"]})
    found = open_folder(images, class_map=class_map).scan()
    assert [record.class_name for record in found.records] == ["normal"]
    assert [rejection.code for rejection in found.rejections] == ["ignored", "ignored"]
    assert "CANARY" not in repr(found)


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
    inner = ClassFoldersSource(images, build_class_map(), require_two_classes=False)
    source = DicomIdentitySource(inner)
    assert not (tmp_path / "keys").exists()
    first = source.scan()
    assert (tmp_path / "keys" / "key").is_file()
    assert source.scan() == first


@pytest.mark.slow
def test_pydicoms_own_files_are_all_gone_through(tmp_path: Path, kit: Any) -> None:
    """Everything that pydicom ships: listed, and no error. Two files do not say what they are."""
    root = write(tmp_path / "archive", {"normal/good": kit.make_image()})
    shipped = Path(get_testdata_file("CT_small.dcm")).parent
    (root / "covid").mkdir()
    paths = [path for path in sorted(shipped.iterdir()) if path.is_file()]
    for path in paths:
        (root / "covid" / path.name).write_bytes(path.read_bytes())
    source = open_folder(root)
    found = source.scan()
    preprocessing = build_preprocessing(DataConfig(side_px=64))
    decoded = {
        source.find_file(record.image_id): decode_record(source, record, preprocessing)
        for record in found.records
    }
    refused = [one for one in decoded.values() if isinstance(one, Rejection)]
    assert {path for path, one in decoded.items() if isinstance(one, PreparedImage)} == {
        "normal/good", "covid/JPEGLSNearLossless_08.dcm", "covid/JPEGLSNearLossless_16.dcm",
    }  # fmt: skip
    assert len(found.rejections) > 50
    assert {rejection.code for rejection in (*found.rejections, *refused)} <= {
        "not-a-chest-radiograph", "damaged", "truncated", "not-an-image", "no-pixels",
    }  # fmt: skip


# The same images as a folder, an archive and a table have the same patients.


CLASSES = {"covid": "covid-19", "normal": "normal"}


@pytest.fixture
def mixed(tmp_path: Path, kit: Any, tiny_png: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six patients with two DICOM images each; the first file in the folder is a picture."""
    (tmp_path / "key").write_bytes(KEY)
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "key"))
    files: dict[str, bytes] = {"covid/00-preview.png": tiny_png}
    rng = np.random.default_rng(0)
    for patient in range(6):
        for image in range(2):
            folder = "covid" if patient % 2 else "normal"
            levels = np.kron(rng.integers(4096, size=(8, 10)), np.ones((8, 8))).astype(np.uint16)
            files[f"{folder}/CANARY_{patient}/{image}"] = kit.make_image(
                levels, PatientID=f"canary-{patient}", SOPInstanceUID=f"1.2.{patient}.{image}"
            )
    return write(tmp_path / "mixed", files)


def make_table(root: Path, *, patient_column: bool) -> Path:
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    rows = ["file,class" + ",patient" * patient_column]
    for path in paths:
        _, is_known, rest = path.partition("CANARY_")
        patient = f",canary-{rest[0]}" if is_known else ","
        rows.append(f"{path},{CLASSES[path.split('/')[0]]}{patient * patient_column}")
    table = root / "table.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


@pytest.mark.slow
@pytest.mark.parametrize(
    "container", ["zip", "gztar", "tar", "table", "table with patients", "zip and table"]
)
def test_an_image_has_its_patient_in_whatever_it_lies(
    container: str, mixed: Path, tmp_path: Path
) -> None:
    folder = open_source(str(mixed)).scan()
    if container.startswith("table"):
        other = make_table(mixed, patient_column="patients" in container)
    else:
        kind = container.split(maxsplit=1)[0]
        other = Path(shutil.make_archive(str(tmp_path / "packed"), kind, mixed))
    names = [str(other)]
    if container == "zip and table":
        names.append(str(make_table(mixed, patient_column=True)))
    found = open_source(names).scan()

    def describe(records: Any) -> set[tuple[str, ...]]:
        return {
            (
                one.image_id.rpartition("/")[2],
                one.class_name,
                one.patient_id,
                one.view,
                one.age_years,
            )
            for one in records
        }

    assert describe(found.records) == describe(folder.records)
    patients = Counter(one.patient_id for one in found.records)
    assert len(patients) == 6 + 1
    assert patients[""] == len(names)
    assert "canary" not in repr(found.records).lower()
    for record in found.records:
        assert decode_image(open_source(names).read(record.location)).pixels.ndim == 2


def test_pictures_joined_to_dicom_share_their_patients(
    mixed: Path, tmp_path: Path, tiny_png: bytes
) -> None:
    other = write(tmp_path / "other", {"a.png": tiny_png, "b.png": tiny_png})
    (other / "table.csv").write_text(
        "file,class,patient\na.png,normal,canary-0\nb.png,covid,stranger\n"
    )
    found = open_source([str(mixed), str(other / "table.csv")]).scan()
    patients = {one.image_id: one.patient_id for one in found.records}
    ours = {patient for name, patient in patients.items() if name.startswith("mixed/")}
    theirs = sorted(patient for name, patient in patients.items() if name.startswith("other/"))
    assert len(set(theirs) & ours) == 1
    assert not {"stranger", "canary-0"} & set(theirs)


def test_a_patient_column_that_divides_a_patient_is_told(mixed: Path) -> None:
    table = make_table(mixed, patient_column=True)
    text = table.read_text().replace("CANARY_0/1,normal,canary-0", "CANARY_0/1,normal,somebody")
    table.write_text(text)
    warnings = open_source(str(table)).scan().warnings
    assert any(
        "of 1 patients" in warning and "--columns patient=" in warning for warning in warnings
    )
    assert not any(
        "--columns patient=" in warning for warning in open_source(str(mixed)).scan().warnings
    )


@pytest.mark.parametrize("stand_in", ["unknown", "N/A", "-", "none", "XXXX", "0", "Anonymous"])
def test_a_stand_in_for_a_patient_is_nobody_in_a_table_as_in_a_header(
    stand_in: str, tmp_path: Path, kit: Any
) -> None:
    no_study = {"PatientID": stand_in, "StudyInstanceUID": ""}
    files = {f"{name}/1": kit.make_image(**no_study) for name in ("normal", "covid")}
    root = write(tmp_path / "images", files)
    (root / "t.csv").write_text(f"file,class,patient\nnormal/1,normal,{stand_in}\n")
    inner = TableSource(FolderStore(root), "t.csv", require_two_classes=False)
    for source in (open_folder(root), DicomIdentitySource(inner, key=KEY)):
        assert {record.patient_id for record in source.scan().records} == {""}


def test_a_row_that_names_no_file_is_rejected_without_the_name(mixed: Path) -> None:
    table = make_table(mixed, patient_column=False)
    table.write_text(table.read_text() + "covid/CANARY_9/none.dcm,covid\n")
    (rejection,) = open_source(str(table)).scan().rejections
    assert rejection.code == "missing"
    assert "CANARY" not in repr(rejection)


def test_a_dicom_file_is_found_whatever_its_name_ends_with(tmp_path: Path, kit: Any) -> None:
    names = ("1.2.840.113619", "IM.v2", "scan.IMA", "image.0001")
    root = write(tmp_path, {f"normal/{name}": kit.make_image() for name in names})
    records = by_path(open_folder(root))
    assert set(records) == {f"normal/{name}" for name in names}


def test_a_radiograph_of_another_part_of_the_body_is_taken_on_demand(
    tmp_path: Path, kit: Any
) -> None:
    root = write(tmp_path, {"normal/1": kit.make_image(BodyPartExamined="HAND")})
    with pytest.raises(EmptySourceError, match="--any-body-part"):
        open_folder(root).scan()
    inner = ClassFoldersSource(root, require_two_classes=False)
    source = DicomIdentitySource(inner, any_body_part=True, key=KEY)
    (record,) = source.scan().records
    decoded = decode_record(source, record, build_preprocessing(DataConfig(side_px=64)))
    assert isinstance(decoded, PreparedImage)


def test_a_source_without_dicom_is_left_as_it_is(
    tmp_path: Path, tiny_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRESNET_KEY_FILE", str(tmp_path / "none" / "key"))
    root = write(tmp_path / "images", {"normal/1.png": tiny_png, "covid/2.png": tiny_png})
    source = open_source(str(root))
    found = source.scan()
    assert [record.image_id for record in found.records] == ["covid/2.png", "normal/1.png"]
    assert source.read("normal/1.png") == tiny_png
    assert not (tmp_path / "none").exists()


def test_a_table_finds_dicom_by_a_bare_name_whatever_it_ends_with(tmp_path: Path, kit: Any) -> None:
    root = write(tmp_path, {"deep/IM.v2": kit.make_image(), "deep/1.2.840": kit.make_image()})
    (root / "t.csv").write_text("file,class\nIM.v2,normal\n1.2.840,covid\n")
    source = DicomIdentitySource(TableSource(FolderStore(root), "t.csv"), key=KEY)
    assert set(by_path(source)) == {"deep/IM.v2", "deep/1.2.840"}


@pytest.mark.parametrize("spelling", ["temp 1", "pseudonym"])
def test_an_id_that_the_user_says_stands_for_nobody_gives_way_to_the_study(
    spelling: str, tmp_path: Path, kit: Any
) -> None:
    studies = ("1.1", "1.1", "1.2")
    files = {
        f"normal/{number}": kit.make_image(PatientID="TEMP_1", StudyInstanceUID=study)
        for number, study in enumerate(studies)
    }
    root = write(tmp_path, files)
    inner = ClassFoldersSource(root, require_two_classes=False)
    (pseudonym,) = {one.patient_id for one in DicomIdentitySource(inner, key=KEY).scan().records}
    said = [pseudonym if spelling == "pseudonym" else spelling]
    found = by_path(DicomIdentitySource(inner, no_patients=said, key=KEY))
    patients = [found[f"normal/{number}"].patient_id for number in range(3)]
    assert patients[0] == patients[1] != patients[2]
    assert pseudonym not in patients


def test_names_are_hidden_in_reasons_and_warnings_too(
    images: Path, tiny_png: bytes, kit: Any
) -> None:
    write(images, {"covid/CANARY_A/x0.png": tiny_png, "covid/CANARY_B/x0.png": tiny_png})
    write(images, {"normal/CANARY.zip": b"no zip", "normal/CANARY_C/..\\y.dcm": kit.make_image()})
    (images / "manifest.csv").write_text("file,class\ncovid/CANARY_YELLOW/1.dcm,normal\n")
    (images / "t.csv").write_text(
        "file,class\ncovid/CANARY_YELLOW/1.dcm,covid\ntrain/normal/x.dcm,normal\n"
        "x0,covid\ncovid/CANARY_Z.dcm,covid\n"
    )
    store = open_nested(FolderStore(images))
    table = DicomIdentitySource(TableSource(store, "t.csv"), key=KEY)
    folder = DicomIdentitySource(ClassFoldersSource(store), key=KEY)
    assert "canary" not in repr((table.scan(), folder.scan())).lower()
    assert sorted(one.code for one in table.scan().rejections) == ["ambiguous-name", "missing"]
    (packed,) = (one for one in folder.scan().rejections if one.code == "unreadable")
    assert folder.find_file(packed.image_id) == "normal/CANARY.zip"
    assert any("another class in manifest.csv" in warning for warning in folder.scan().warnings)


def test_a_mask_beside_the_folder_is_read(tmp_path: Path, kit: Any, tiny_png: bytes) -> None:
    dicom, mask = kit.make_image(), tiny_png
    write(tmp_path, {"set/normal/1.dcm": dicom, "set/covid/2.png": tiny_png, "lungs/1.png": mask})
    (tmp_path / "manifest.csv").write_text("file,mask\nset/normal/1.dcm,lungs/1.png\n")
    source = pickle.loads(pickle.dumps(open_folder(tmp_path / "set")))  # noqa: S301
    (location,) = (record.lung_mask for record in source.scan().records if record.lung_mask)
    assert source.read(location) == mask
    assert source.find_file(location) == "../lungs/1.png"
