from __future__ import annotations

import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.source import forget_patients, read_split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Training", "train"),
        ("valid", "val"),
        ("val2017", "val"),
        ("TEST", "test"),
        ("Normal", ""),
        ("测试test", ""),
    ],
)
def test_a_split_has_many_names(text, expected):
    assert read_split(text) == expected


def test_classes_are_claimed_by_folders_without_an_image_too(build_tree):
    root = build_tree(["Normal/x.png", "Pneumonia/notes.txt", "ignored/COVID/x.png"])
    (root / "COVID").mkdir()
    (root / "tb").symlink_to(root.parent)
    class_map = build_class_map({"tuberculosis": ["TB"], "ignore": ["ignored"]})
    assert FolderStore(root).list_members().find_classes(class_map) == (
        "covid-19", "normal", "pneumonia", "tuberculosis",
    )  # fmt: skip


def test_an_id_that_stands_for_nobody_is_taken_away_in_any_spelling():
    records = [
        ImageRecord(image_id=name, location="", class_name="normal", source="", patient_id=name)
        for name in ("Temp 1", "temp2")
    ]
    assert [r.patient_id for r in forget_patients(records, ["TEMP_1"])] == ["", "temp2"]
    assert [r.patient_id for r in forget_patients(records, [])] == ["Temp 1", "temp2"]
