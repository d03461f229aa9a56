from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter

import numpy as np
import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError, ImageError, SourceError
from cxresnet.data.sources import medmnist
from cxresnet.data.sources.medmnist import MedMnistSource, read_array, read_headers


@pytest.fixture
def write_medmnist(tmp_path):
    def write(name: str = "pneumoniamnist", **changes):
        images = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
        arrays = {
            "train_images": images[:4], "train_labels": np.array([[0], [1], [1], [0]], np.uint8),
            "val_images": images[4:6], "val_labels": np.array([[0], [1]], np.uint8),
            "test_images": images[6:], "test_labels": np.array([[1], [1], [0]], np.uint8),
        }  # fmt: skip
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **{**arrays, **changes})
        return path, images

    return write


def test_images_labels_and_splits_are_as_published(write_medmnist):
    path, images = write_medmnist()
    source = pickle.loads(pickle.dumps(MedMnistSource(path)))  # noqa: S301
    records = source.scan().records
    assert len(records) == 9
    by_id = {record.image_id: record for record in records}
    assert by_id["val/000001"].class_name == "pneumonia"
    assert by_id["val/000001"].given_split == "val"
    np.testing.assert_array_equal(source.read(by_id["val/000001"].location), images[5])
    np.testing.assert_array_equal(source.read(by_id["test/000002"].location), images[8])


def test_numbers_of_an_unknown_file_need_a_word(write_medmnist):
    path, _ = write_medmnist("other")
    with pytest.raises(ClassMapError, match="--classes normal=0"):
        MedMnistSource(path).scan()
    table = build_class_map({"covid": ["0"], "ignore": ["1"]})
    found = MedMnistSource(path, table, require_two_classes=False).scan()
    assert Counter(record.class_name for record in found.records) == {"covid-19": 4}


def test_what_the_user_says_comes_before_what_is_known(write_medmnist):
    path, _ = write_medmnist()
    records = (
        MedMnistSource(path, build_class_map({"covid": ["1"], "normal": ["0"]})).scan().records
    )
    assert {record.class_name for record in records} == {"normal", "covid-19"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 28, 28, 3), np.uint8)}, "images are grey"),
        ({"train_images": np.zeros((4, 28, 28), np.int64)}, "8 bits"),
        ({"train_labels": np.zeros((4, 14), np.uint8)}, "each image needs one label"),
        ({"train_labels": np.zeros((3, 1), np.uint8)}, "each image needs one label"),
    ],
)
def test_arrays_of_another_shape_are_refused(write_medmnist, changes, message):
    path, _ = write_medmnist(**changes)
    with pytest.raises(SourceError, match=message):
        MedMnistSource(path).scan()


def test_an_array_without_ending_does_not_hide_another(write_medmnist):
    """NumPy reads it in place of the one that is checked."""
    path, _ = write_medmnist()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_labels", b"text")
    with pytest.raises(SourceError, match="two arrays of the name 'train_labels'"):
        MedMnistSource(path).scan()


def test_a_header_that_python_cannot_take_apart_is_refused(write_medmnist):
    path, _ = write_medmnist()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\1\0\x80\0" + b"(" * 128)
    with pytest.raises(SourceError, match="not a readable"):
        MedMnistSource(path).scan()


def test_an_array_packed_unlike_those_of_numpy_is_refused(write_medmnist):
    path, _ = write_medmnist()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", bytes(100))
    with pytest.raises(SourceError, match="NumPy does not write"):
        MedMnistSource(path).scan()


def test_two_arrays_of_one_name_are_refused(write_medmnist):
    """The first is checked; NumPy reads the last."""
    path, _ = write_medmnist()
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("train_images.npy", archive.read("val_images.npy"))
    with pytest.raises(SourceError, match="two arrays of the name 'train_images'"):
        MedMnistSource(path).scan()


def test_a_file_without_images_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", other=np.zeros(3, np.uint8))
    with pytest.raises(SourceError, match="is it a MedMNIST file"):
        MedMnistSource(tmp_path / "x.npz").scan()


@pytest.mark.parametrize("location", ["train/4", "train/-1", "other/0", "../0", "train/"])
def test_an_image_that_is_not_there_is_an_image_error(write_medmnist, location):
    path, _ = write_medmnist()
    with pytest.raises(ImageError, match="There is no image"):
        MedMnistSource(path).read(location)


@pytest.mark.images
def test_the_real_pneumoniamnist_is_read_whole(images_root):
    source = MedMnistSource(images_root / "pneumoniamnist.npz")
    records = source.scan().records
    assert Counter(record.given_split for record in records) == {
        "train": 4708, "val": 524, "test": 624,
    }  # fmt: skip
    assert Counter(record.class_name for record in records) == {"pneumonia": 4273, "normal": 1583}
    assert source.read(records[0].location).shape == (28, 28)


def write_npy(array: np.ndarray, *, shape: tuple[int, ...] | None = None) -> bytes:
    """Write an array as .npy, with a header that may lie about its shape."""
    stream = io.BytesIO()
    header = {
        "descr": np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": shape or array.shape,
    }
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


@pytest.fixture
def write_npz(tmp_path):
    def write(**contents: bytes):
        path = tmp_path / "images.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(f"{name}.npy", content)
        return path

    return write


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_and_arrays_are_what_numpy_wrote(tmp_path, save):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    save(tmp_path / "images.npz", images=images)
    header = read_headers(tmp_path / "images.npz")["images"]
    assert (header.shape, header.dtype) == ((2, 3, 4), np.uint8)
    np.testing.assert_array_equal(read_array(tmp_path / "images.npz", "images"), images)


def test_a_header_that_lies_about_its_shape_is_refused(write_npz):
    images = np.zeros((2, 3, 4), dtype=np.uint8)
    with pytest.raises(SourceError, match="holds something else"):
        read_headers(write_npz(images=write_npy(images, shape=(100_000, 100_000, 4))))


def test_an_array_that_would_unpack_to_far_too_much_is_refused_unread(write_npz):
    bomb = write_npy(np.zeros((5, 1024, 1024), dtype=np.uint8))  # zeros: packed about 1000 times
    with pytest.raises(SourceError, match="would unpack to"):
        read_headers(write_npz(images=bomb))


def test_an_array_over_the_limit_is_refused(write_npz, monkeypatch):
    monkeypatch.setattr(medmnist, "_MAX_ARRAY_BYTES", 100)
    with pytest.raises(SourceError, match="would unpack to"):
        read_headers(write_npz(images=write_npy(np.arange(200, dtype=np.uint8))))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SourceError):
        read_headers(path)
    with pytest.raises(SourceError, match="allow_pickle"):
        read_array(path, "images")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"not a readable \.npz file"):
        read_headers(path)


def test_a_member_that_is_no_array_is_refused(write_npz):
    with pytest.raises(SourceError, match=r"not a readable \.npz file"):
        read_headers(write_npz(images=b"not an array"))
