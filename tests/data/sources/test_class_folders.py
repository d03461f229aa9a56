from __future__ import annotations

import os
import pickle
from collections import Counter

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError, EmptySourceError, SourceError, UnsafePathError
from cxresnet.data.sources.class_folders import (
    ClassFoldersSource,
    is_image_name,
    lay_out_class_folders,
)

TWO_CLASSES = ["Normal/a.png", "PNEUMONIA/b.png"]


def test_each_image_gets_the_class_of_its_folder_and_is_read_back(build_tree, tiny_png):
    source = ClassFoldersSource(build_tree(["train/Normal/b.png", "test/PNEUMONIA/a.png"]))
    first, second = source.scan().records
    assert (first.image_id, first.class_name, first.given_split) == (
        "test/PNEUMONIA/a.png", "pneumonia", "test",
    )  # fmt: skip
    assert second.class_name == "normal"
    assert second.source == "images"
    assert source.read(first.location) == tiny_png


def test_a_folder_nobody_claims_stops_the_scan_with_a_guess(build_tree):
    with pytest.raises(ClassMapError, match=r"'Pneumonai'\. Did you mean 'pneumonia'\?"):
        ClassFoldersSource(build_tree([*TWO_CLASSES, "Pneumonai/c.png"])).scan()


def test_a_class_table_adds_classes_and_leaves_folders_out(build_tree):
    class_map = build_class_map({"tuberculosis": ["TB"], "ignore": ["other"]})
    found = ClassFoldersSource(
        build_tree(["Normal/a.png", "TB/b.png", "other/c.png"]), class_map
    ).scan()
    assert [record.class_name for record in found.records] == ["normal", "tuberculosis"]
    assert [(row.image_id, row.code) for row in found.rejections] == [("other/c.png", "ignored")]
    assert "1 images are in folders that are left out" in found.warnings[0]


def test_one_class_alone_is_refused_but_may_be_joined(build_tree):
    root = build_tree(["Normal/a.png", "Normal/b.png"])
    with pytest.raises(ClassMapError, match="one class only: normal"):
        ClassFoldersSource(root).scan()
    assert len(ClassFoldersSource(root, require_two_classes=False).scan().records) == 2


def test_images_without_class_folders_are_refused(build_tree):
    with pytest.raises(ClassMapError, match="2 images but no class folders"):
        ClassFoldersSource(build_tree(["a.png", "b.png"])).scan()


def test_a_loose_image_beside_class_folders_is_left_out_with_a_reason(build_tree):
    found = ClassFoldersSource(build_tree([*TWO_CLASSES, "cover.png", "Normal/notes.mp4"])).scan()
    assert {(row.image_id, row.code) for row in found.rejections} == {
        ("cover.png", "no-class"),
        ("Normal/notes.mp4", "not-an-image"),
    }


def test_an_empty_folder_is_refused(build_tree, tmp_path):
    (tmp_path / "images" / "Normal").mkdir(parents=True)
    with pytest.raises(EmptySourceError, match="No image was found in 'images'"):
        ClassFoldersSource(tmp_path / "images").scan()


def test_an_empty_folder_says_why_what_was_there_is_left_out(build_tree):
    with pytest.raises(EmptySourceError, match=r"all 1 were left out.*not that of an image"):
        ClassFoldersSource(build_tree(["Normal/image.mp4"])).scan()


def test_a_name_that_is_no_utf8_becomes_a_printable_id(build_tree, tiny_png):
    root = build_tree(TWO_CLASSES)
    (root / os.fsdecode(b"Normal/caf\xe9.png")).write_bytes(tiny_png)
    source = pickle.loads(pickle.dumps(ClassFoldersSource(root)))  # noqa: S301
    record = source.scan().records[1]
    assert record.image_id == r"Normal/caf\xe9.png"
    assert source.read(record.location) == tiny_png


def test_a_folder_that_is_no_utf8_can_be_named_in_the_message(build_tree, tiny_png):
    root = build_tree(TWO_CLASSES)
    odd = root / os.fsdecode(b"\xe9")
    odd.mkdir()
    (odd / "a.png").write_bytes(tiny_png)
    with pytest.raises(ClassMapError) as caught:
        ClassFoldersSource(root).scan()
    str(caught.value).encode("utf-8")  # can be printed


def test_a_validation_split_too_small_to_choose_on_is_said_aloud(build_tree):
    images = ["train/Normal/a.png", "train/PNEUMONIA/b.png", "val/Normal/c.png"]
    found = ClassFoldersSource(build_tree(images)).scan()
    assert any("only 1 images" in warning for warning in found.warnings)


MANIFEST = b"""file,label,patient_id,source,view,lung_mask
images/Normal/a.png,normal,p1,here,PA,
images/PNEUMONIA/b.png,pneumonia,p2,there,AP,lungs/b.png
other/c.png,normal,p3,here,PA,
"""


def test_a_manifest_above_the_folder_tells_patients_sources_views_and_masks(build_tree, tiny_png):
    root = build_tree(TWO_CLASSES)
    (root.parent / "manifest.csv").write_bytes(MANIFEST)
    (root.parent / "lungs").mkdir()
    (root.parent / "lungs" / "b.png").write_bytes(tiny_png)
    source = ClassFoldersSource(root)
    found = source.scan()
    second = found.records[1]
    assert (second.patient_id, second.source, second.view) == ("p2", "there", "AP")
    assert source.read(second.lung_mask) == tiny_png
    assert any("was used for 2 of 2" in warning for warning in found.warnings)


def test_a_manifest_can_be_left_out(build_tree):
    root = build_tree(TWO_CLASSES)
    (root.parent / "manifest.csv").write_bytes(MANIFEST)
    source = ClassFoldersSource(root, use_manifest=False)
    assert {record.patient_id for record in source.scan().records} == {""}
    with pytest.raises(UnsafePathError):
        source.read("../manifest.csv")


def test_a_manifest_in_the_folder_keeps_its_masks_from_being_images(build_tree, tiny_png):
    manifest = (
        b"file,class,lesion_mask\nNormal/a.png,normal,\nPNEUMONIA/b.png,pneumonia,spots/b.png\n"
    )
    root = build_tree(
        {"Normal/a.png": tiny_png, "PNEUMONIA/b.png": tiny_png, "spots/b.png": tiny_png,
         "manifest.csv": manifest}
    )  # fmt: skip
    records = ClassFoldersSource(root).scan().records
    assert [record.lesion_mask for record in records] == ["", "spots/b.png"]


def test_a_manifest_that_names_none_of_the_images_changes_nothing(build_tree):
    root = build_tree(TWO_CLASSES)
    (root.parent / "manifest.csv").write_bytes(b"file,label\nelse/a.png,normal\n")
    found = ClassFoldersSource(root).scan()
    assert found.warnings == ()
    assert found.records[0].source == "images"


def test_a_mask_that_is_not_there_is_counted_and_left_empty(build_tree):
    root = build_tree(TWO_CLASSES)
    (root.parent / "manifest.csv").write_bytes(MANIFEST)
    found = ClassFoldersSource(root).scan()
    assert {record.lung_mask for record in found.records} == {""}
    assert any("1 masks that are not there" in warning for warning in found.warnings)


def test_a_mask_that_leads_out_stops_the_scan_and_names_the_row(build_tree):
    root = build_tree(TWO_CLASSES)
    (root.parent / "manifest.csv").write_bytes(
        b"file,label,mask\nimages/Normal/a.png,normal,../../etc/passwd\n"
    )
    with pytest.raises(UnsafePathError, match=r"Row 2 of manifest\.csv"):
        ClassFoldersSource(root).scan()


def test_a_mask_linked_out_of_the_manifests_folder_is_refused(build_tree, tmp_path):
    root = build_tree(["set/Normal/a.png", "set/PNEUMONIA/b.png"])
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "mask.png").symlink_to(tmp_path / "secret.png")
    (root / "manifest.csv").write_bytes(b"file,mask\nset/Normal/a.png,mask.png\n")
    with pytest.raises(UnsafePathError, match="leads out"):
        ClassFoldersSource(root / "set").scan()


def test_a_broken_manifest_stops_the_scan_and_says_how_to_go_on_without(build_tree):
    root = build_tree(TWO_CLASSES)
    (root / "manifest.csv").write_bytes(b"file,label\nNormal/a.png,normal,x,y\n")
    with pytest.raises(SourceError, match=r"Row 2.*--no-manifest"):
        ClassFoldersSource(root).scan()


def test_where_folder_and_manifest_quarrel_the_folder_is_believed_and_said(build_tree):
    root = build_tree(TWO_CLASSES)
    (root / "manifest.csv").write_bytes(b"file,label\nNormal/a.png,covid\n")
    found = ClassFoldersSource(root).scan()
    assert found.records[0].class_name == "normal"
    assert any(
        "another class" in warning and "Normal/a.png" in warning for warning in found.warnings
    )


def test_images_in_no_class_folder_take_their_class_from_the_manifest(build_tree):
    root = build_tree(["a.png", "b.png"])
    (root / "manifest.csv").write_bytes(b"file,label\na.png,covid\nb.png,normal\n")
    records = ClassFoldersSource(root).scan().records
    assert [record.class_name for record in records] == ["covid-19", "normal"]


@pytest.mark.images
def test_the_real_folders_are_read_whole(images_root):
    source = ClassFoldersSource(images_root / "darkcovid")
    records = source.scan().records
    assert Counter(record.class_name for record in records) == {
        "covid-19": 124, "normal": 500, "pneumonia": 500,
    }  # fmt: skip
    masked = [record for record in records if record.lung_mask]
    assert len(masked) == 124
    assert source.read(masked[0].lung_mask).startswith(b"\x89PNG")
    assert {record.source for record in records} == {"cohen", "nih-chestxray8"}


@pytest.mark.images
def test_the_real_kaggle_folders_keep_their_given_split(images_root):
    records = ClassFoldersSource(images_root / "kaggle317").scan().records
    assert Counter(record.given_split for record in records) == {"train": 251, "test": 66}


CLASS_MAP = build_class_map()


def place(*paths: str):
    return {image.path: image for image in lay_out_class_folders(paths, CLASS_MAP).images}


@pytest.mark.parametrize(
    ("path", "class_name", "given_split"),
    [
        ("Normal/a.png", "normal", ""),
        ("chest_xray/train/PNEUMONIA/a.jpeg", "pneumonia", "train"),
        ("set/Covid/Validation/a.png", "covid-19", "val"),
        ("COVID/images/a.png", "covid-19", ""),
        ("Pneumonia/Viral Pneumonia/a.dcm", "pneumonia", ""),
        ("covid-19/normal/a.png", "normal", ""),  # a wrapper of that name: the deepest decides
    ],
)
def test_a_path_says_class_and_split(path, class_name, given_split):
    image = place(path)[path]
    assert (image.class_name, image.given_split) == (class_name, given_split)


def test_a_masks_folder_holds_masks_of_images_with_the_same_name():
    images = place(
        "COVID/images/a.png", "COVID/images/b.jpg", "COVID/masks/a.png", "COVID/masks/c.png"
    )
    assert {path: image.lung_mask for path, image in images.items()} == {
        "COVID/images/a.png": "COVID/masks/a.png",
        "COVID/images/b.jpg": "",
    }


def test_a_mask_never_crosses_from_one_class_to_another():
    images = place("COVID/images/1.png", "Normal/images/1.png", "Normal/masks/1.png")
    assert images["COVID/images/1.png"].lung_mask == ""
    assert images["Normal/images/1.png"].lung_mask == "Normal/masks/1.png"


def test_a_folder_left_out_leaves_out_all_below():
    class_map = build_class_map({"ignore": ["Lung_Opacity"]})
    layout = lay_out_class_folders(["Lung_Opacity/normal/a.png", "normal/b.png"], class_map)
    assert layout.ignored == ("Lung_Opacity/normal/a.png",)
    assert [image.path for image in layout.images] == ["normal/b.png"]


def test_the_folder_nobody_claims_is_named_and_not_its_wrapper_or_split():
    images = place(
        "set/train/Normal/a.png", "set/train/Pneumonai/images/b.png", "set/test/Normal/c.png"
    )
    assert images["set/train/Pneumonai/images/b.png"].folder == "Pneumonai"


def test_an_image_outside_of_all_folders_has_neither_class_nor_folder():
    image = place("Normal/a.png", "cover.png")["cover.png"]
    assert (image.class_name, image.folder) == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PNG", True),
        ("IM000001", True),  # DICOM files often have no ending
        ("README", None),
        ("readme.md", None),
        ("labels.csv", None),
        ("image.mp4", False),
    ],
)
def test_an_image_is_told_from_papers_and_from_other_files(name, expected):
    assert is_image_name(f"Normal/{name}") is expected


def test_files_that_are_no_images_are_listed_but_papers_are_not():
    layout = lay_out_class_folders(["Normal/a.mp4", "Normal/a.txt", "Normal/a.png"], CLASS_MAP)
    assert layout.not_images == ("Normal/a.mp4",)
    assert len(layout.images) == 1


def test_the_unclaimed_folder_beside_the_classes_is_named(build_tree):
    root = build_tree([
        f"Lung Segmentation Data/Lung Segmentation Data/{split}/{name}/images/{split}-{name}.png"
        for split in ("Train", "Val", "Test")
        for name in ("COVID-19", "Non-COVID", "Normal")
    ])  # fmt: skip
    with pytest.raises(ClassMapError, match=r"label or folder 'Non-COVID'\. Name its class"):
        ClassFoldersSource(root).scan()


def test_the_deepest_unclaimed_folder_is_named_where_no_class_is_beside(build_tree):
    root = build_tree(["one/Normal/a.png", "one/COVID/b.png", "two/train/Sick/images/c.png"])
    with pytest.raises(ClassMapError, match="label or folder 'Sick'"):
        ClassFoldersSource(root).scan()


def test_a_loose_image_in_the_folder_around_the_classes_is_left_out(build_tree):
    found = ClassFoldersSource(
        build_tree(["set/Normal/a.png", "set/COVID/b.png", "set/c.png"])
    ).scan()
    assert [(row.image_id, row.code) for row in found.rejections] == [("set/c.png", "no-class")]


def test_a_folder_of_a_class_without_an_image_is_claimed(build_tree):
    root = build_tree(["Normal/a.png", "COVID/b.png", "Pneumonia/c.mp4"])
    assert ClassFoldersSource(root).scan().classes == ("covid-19", "normal", "pneumonia")


def test_a_manifest_names_images_and_masks_in_any_spelling(build_tree, tiny_png):
    root = build_tree([*TWO_CLASSES, "masks2/b.PNG"])
    (root / "manifest.csv").write_bytes(
        b"file,patient,lesion_mask\nNORMAL/A.PNG,p1,\nPneumonia/b,p2,masks2/B.png\n"
    )
    found = ClassFoldersSource(root, build_class_map()).scan()
    assert [(r.patient_id, r.lesion_mask) for r in found.records] == [
        ("p1", ""),
        ("p2", "masks2/b.PNG"),
    ]
