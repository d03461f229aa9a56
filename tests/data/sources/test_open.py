from __future__ import annotations

import io
import shutil
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.data.sources.archive import ZipStore
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.dicom_identity import DicomIdentitySource
from cxresnet.data.sources.joined import JoinedSource
from cxresnet.data.sources.medmnist import MedMnistSource
from cxresnet.data.sources.open import NO_DATASET_PRESET, SourceOptions, open_source
from cxresnet.data.sources.phantom import PhantomSource
from cxresnet.data.sources.presets import DatasetPresetSource
from cxresnet.data.sources.table import TableOptions, TableSource

TWO_CLASSES = ["Normal/a.png", "PNEUMONIA/b.png"]
KERMANY = ["train/PNEUMONIA/person1_virus_2.jpeg", "train/NORMAL/IM-1-1.jpeg"]


def test_a_folder_is_opened_with_its_class_table(build_tree):
    root = build_tree(["healthy ones/a.png", "PNEUMONIA/b.png"])
    options = SourceOptions(class_table={"normal": ["healthy ones"]})
    source = open_source(str(root), options)
    assert isinstance(source.inner, ClassFoldersSource)
    assert len(source.scan().records) == 2


def test_a_table_is_opened_with_its_columns(build_tree, tiny_png):
    table = b"x,y\na.png,normal\nb.png,covid\n"
    root = build_tree({"t.csv": table, "a.png": tiny_png, "b.png": tiny_png})
    options = SourceOptions(table_options=TableOptions(columns={"path": "x", "class": "y"}))
    source = open_source([str(root / "t.csv")], options)
    assert isinstance(source.inner, TableSource)
    assert len(source.scan().records) == 2


def test_an_archive_and_a_medmnist_file_are_told_by_their_ending(tmp_path, tiny_png):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in TWO_CLASSES:
            archive.writestr(name, tiny_png)
    source = open_source(str(tmp_path / "images.zip"))
    assert isinstance(source.inner, ClassFoldersSource)
    assert isinstance(source.inner.store, ZipStore)
    np.savez(tmp_path / "m.npz", a=np.zeros(1))
    assert isinstance(open_source(str(tmp_path / "m.npz")), MedMnistSource)


def test_phantoms_are_opened_with_their_settings():
    source = open_source("phantoms:images_per_class=3")
    assert isinstance(source, PhantomSource)
    assert len(source.scan().records) == 9


def test_several_sources_are_joined_whether_given_apart_or_with_plus(build_tree):
    root = build_tree(["x/Normal/a.png", "y/COVID/b.png"])
    for texts in ([str(root / "x"), str(root / "y")], f"{root / 'x'}+{root / 'y'}"):
        source = open_source(texts)
        assert isinstance(source, JoinedSource)
        assert len(source.scan().records) == 2


def test_a_folder_with_plus_in_its_name_is_one_source(build_tree):
    root = build_tree(["x+y/Normal/a.png", "x+y/COVID/b.png"])
    assert isinstance(open_source(str(root / "x+y")).inner, ClassFoldersSource)


def test_a_known_set_is_recognised_unless_told_otherwise(build_tree):
    root = str(build_tree(KERMANY))
    assert isinstance(open_source(root).inner, DatasetPresetSource)
    named = open_source(root, SourceOptions(dataset_preset="kermany"))
    assert isinstance(named.inner, DatasetPresetSource)
    unknown = open_source(root, SourceOptions(dataset_preset=NO_DATASET_PRESET))
    assert isinstance(unknown.inner, ClassFoldersSource)
    with pytest.raises(ConfigError, match="no dataset preset 'x'"):
        open_source(root, SourceOptions(dataset_preset="x"))


def test_a_known_set_keeps_its_manifest_unless_told_otherwise(build_tree):
    root = build_tree(KERMANY)
    (root.parent / "manifest.csv").write_text(
        f"file,patient_id\nimages/{KERMANY[0]},p1\nimages/{KERMANY[1]},p2\n"
    )
    with_it = open_source(str(root)).scan().records
    without = open_source(str(root), SourceOptions(use_manifest=False)).scan().records
    assert [record.patient_id for record in with_it] == ["p2", "p1"]
    assert [record.patient_id for record in without] == ["IM-1", "person1"]


def test_dicom_is_identified_in_every_kind_of_source(build_tree):
    head = bytes(128) + b"DICM"
    root = build_tree({"Normal/IM1": head, "COVID/IM2.dcm": head, "t.csv": b"file,class\n"})
    assert isinstance(open_source(str(root)), DicomIdentitySource)
    assert isinstance(open_source(str(root / "t.csv")), DicomIdentitySource)
    zipped = shutil.make_archive(str(root.parent / "zipped"), "zip", root)
    assert isinstance(open_source(zipped), DicomIdentitySource)


def test_what_kaggle_gives_is_opened_by_its_recipe(build_tree, monkeypatch):
    root = build_tree(["Normal/a.png", "Viral Pneumonia/b.png"])
    stand_in = SimpleNamespace(dataset_download=lambda handle: str(root))
    monkeypatch.setitem(sys.modules, "kagglehub", stand_in)
    source = open_source("kaggle:tawsifurrahman/covid19-radiography-database")
    assert isinstance(source.inner, DatasetPresetSource)
    assert {record.source for record in source.scan().records} == {"radiography", "kermany"}
    assert isinstance(open_source("kaggle:some/thing").inner, ClassFoldersSource)


def test_a_name_that_is_nothing_is_guessed_at(build_tree):
    root = build_tree(TWO_CLASSES)
    with pytest.raises(SourceError, match=r"Did you mean '.*images'\?"):
        open_source(str(root.parent / "imgaes"))
    with pytest.raises(SourceError, match="Give a folder, a table"):
        open_source(str(root / "zzz"))
    with pytest.raises(SourceError, match="No source was named"):
        open_source([])


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "image.png").write_bytes(io.BytesIO().getvalue())
    with pytest.raises(SourceError, match=r"'image\.png' is of a kind that cannot be read"):
        open_source(str(tmp_path / "image.png"))


@pytest.mark.images
def test_the_real_sets_are_one_dataset_by_their_folders_and_by_the_manifest(images_root):
    folders = open_source([str(images_root / "hannover"), str(images_root / "kaggle317")]).scan()
    table = open_source(str(images_root / "manifest.csv")).scan()

    def describe(record, image_id: str):
        return (image_id, record.class_name, record.patient_id, record.source, record.view)

    by_folders = {describe(record, record.image_id) for record in folders.records}
    by_table = {describe(record, record.image_id) for record in table.records}
    assert len(by_folders) == 560
    assert by_folders <= by_table
