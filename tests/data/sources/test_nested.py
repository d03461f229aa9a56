from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile

import pytest

from cxresnet.data.sources.archive import open_archive
from cxresnet.data.sources.class_folders import ClassFoldersSource
from cxresnet.data.sources.folder_store import FolderStore
from cxresnet.data.sources.nested import open_nested


def make_zip(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def make_tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)


@pytest.fixture
def nest(build_tree, tmp_path):
    """Put files into a folder, or into a zip archive, and open the archives in it."""

    def build(kind: str, files: dict[str, bytes]):
        if kind == "folder":
            return open_nested(FolderStore(build_tree(files)))
        (tmp_path / "images.zip").write_bytes(make_zip(files))
        return open_nested(open_archive(tmp_path / "images.zip"))

    return build


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_archive_beside_class_folders_is_the_folder_of_its_name(nest, tiny_png, kind):
    packed = make_zip({"c.png": tiny_png + b"c", "deep/d.png": tiny_png + b"d"})
    store = nest(kind, {"Normal/a.png": tiny_png, "Pneumonia.zip": packed})
    source = pickle.loads(pickle.dumps(ClassFoldersSource(store)))  # noqa: S301
    found = source.scan()
    assert {record.location: record.class_name for record in found.records} == {
        "Normal/a.png": "normal",
        "Pneumonia/c.png": "pneumonia",
        "Pneumonia/deep/d.png": "pneumonia",
    }
    assert source.read("Pneumonia/deep/d.png") == tiny_png + b"d"
    assert source.read("Normal/a.png") == tiny_png
    assert found.rejections == ()


def test_a_whole_set_in_one_archive_in_a_folder_is_read(nest, tiny_png):
    content = make_tar({"set/train/Normal/a.png": tiny_png, "set/train/COVID/b.png": tiny_png})
    records = ClassFoldersSource(nest("folder", {"archive.tar.gz": content})).scan().records
    assert [(record.class_name, record.given_split) for record in records] == [
        ("covid-19", "train"),
        ("normal", "train"),
    ]


@pytest.mark.parametrize("inner", ["", "Pneumonia/"])
def test_an_archive_that_lies_unpacked_beside_itself_is_read_once(nest, tiny_png, inner):
    packed = make_zip({f"{inner}c.png": tiny_png})
    files = {"Normal/a.png": tiny_png, "Pneumonia/c.png": tiny_png, "Pneumonia.zip": packed}
    found = ClassFoldersSource(nest("folder", files)).scan()
    assert [record.location for record in found.records] == ["Normal/a.png", "Pneumonia/c.png"]
    (rejection,) = found.rejections
    assert (rejection.image_id, rejection.code) == ("Pneumonia.zip", "already-unpacked")
    assert rejection.reason.startswith("1 of its files")


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("folder", "Pneumonia.zip", b"no zip"),
        ("folder", "Pneumonia.tar.gz", b"no tar"),
        ("folder", "Pneumonia.zip", make_zip({"inner.zip": make_zip({"c.png": b"c"})})),
        ("folder", "Pneumonia.rar", b"Rar!"),
        ("zip", "Pneumonia.zip", b"no zip"),
        ("zip", "Pneumonia.tar.gz", make_tar({"c.png": b"c"})),
    ],
)
def test_an_archive_that_is_not_read_is_listed_and_its_class_is_missed(
    nest, tiny_png, kind, name, content
):
    store = nest(kind, {"Normal/a.png": tiny_png, "COVID/b.png": tiny_png, name: content})
    found = ClassFoldersSource(store).scan()
    (rejection,) = found.rejections
    assert rejection.image_id.startswith("Pneumonia")
    assert found.classes == ("covid-19", "normal", "pneumonia")


def test_a_folder_without_archives_is_opened_as_it_is(build_tree):
    store = FolderStore(build_tree(["Normal/a.png"]))
    assert open_nested(store) is store


def test_an_archive_is_no_file_of_the_table(nest, tiny_png):
    store = nest("folder", {"Normal/a.png": tiny_png, "x.zip": make_zip({"c.png": tiny_png})})
    assert store.find_member("x/c.png") == "x/c.png"
    assert store.find_member("x.zip") == ""
    assert store.find_member("x/d.png") == ""
    assert store.read_head("x/c.png") == tiny_png[:132]
    with store.open_member("Normal/a.png") as stream:
        assert stream.read() == tiny_png
