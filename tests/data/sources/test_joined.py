from __future__ import annotations

import pickle

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError, ImageError
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.joined import JoinedSource


def open_part(root, table=None) -> ClassFoldersSource:
    return ClassFoldersSource(root, build_class_map(table), require_two_classes=False)


def test_sources_of_one_class_each_become_one_dataset(build_tree):
    root = build_tree({"x/Normal/a.png": b"1", "y/COVID/a.png": b"2", "x/Normal/b.mp4": b""})
    source = pickle.loads(  # noqa: S301
        pickle.dumps(JoinedSource([open_part(root / "x"), open_part(root / "y")]))
    )
    found = source.scan()
    assert [record.image_id for record in found.records] == ["x/Normal/a.png", "y/COVID/a.png"]
    assert [source.read(record.location) for record in found.records] == [b"1", b"2"]
    assert [row.image_id for row in found.rejections] == ["x/Normal/b.mp4"]
    assert source.name == "x+y"


def test_two_sources_of_the_same_name_are_kept_apart(build_tree):
    root = build_tree({"x/set/Normal/a.png": b"1", "y/set/Normal/a.png": b"2",
                       "y/set/COVID/b.png": b"3"})  # fmt: skip
    source = JoinedSource([open_part(root / "x" / "set"), open_part(root / "y" / "set")])
    records = source.scan().records
    assert [record.image_id for record in records] == [
        "set-2/COVID/b.png", "set-2/Normal/a.png", "set/Normal/a.png",
    ]  # fmt: skip
    assert [source.read(record.location) for record in records] == [b"3", b"2", b"1"]


def test_masks_are_read_from_their_own_source(build_tree):
    root = build_tree(
        {"x/COVID/images/a.png": b"1", "x/COVID/masks/a.png": b"m", "y/Normal/a.png": b"2"}
    )
    source = JoinedSource([open_part(root / "x"), open_part(root / "y")])
    first, second = source.scan().records
    assert source.read(first.lung_mask) == b"m"
    assert second.lung_mask == ""


def test_sources_that_have_one_class_together_are_refused(build_tree):
    root = build_tree(["x/Normal/a.png", "y/Normal/a.png"])
    with pytest.raises(ClassMapError, match=r"'x\+y' has images of one class only"):
        JoinedSource([open_part(root / "x"), open_part(root / "y")]).scan()


def test_classes_of_all_sources_are_joined_in_order(build_tree):
    root = build_tree(["x/TB/a.png", "y/flu/a.png"])
    source = JoinedSource(
        [
            open_part(root / "x", {"tuberculosis": ["TB"]}),
            open_part(root / "y", {"influenza": ["flu"]}),
        ]
    )
    assert source.class_map.class_names[3:] == ("tuberculosis", "influenza")
    assert source.class_map.find("flu") == "influenza"


def test_a_patient_in_two_sources_is_one_person_and_said(build_tree):
    root = build_tree(["x/Normal/a.png", "y/COVID/a.png"])
    for part, image in (("x", "Normal/a.png"), ("y", "COVID/a.png")):
        (root / part / "manifest.csv").write_text(f"file,patient_id\n{image},17\n")
    found = JoinedSource([open_part(root / "x"), open_part(root / "y")]).scan()
    assert {record.patient_id for record in found.records} == {"17"}
    assert "1 patient ids are in more than one source" in found.warnings[-1]


def test_an_image_of_no_source_is_an_image_error(build_tree):
    source = JoinedSource([open_part(build_tree(["Normal/a.png"]))])
    with pytest.raises(ImageError, match="no source 'other'"):
        source.read("other/Normal/a.png")
