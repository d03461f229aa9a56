from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from cxresnet.core.classes import build_class_map
from cxresnet.core.errors import ClassMapError, FilmError, SourceError
from cxresnet.data.sources.medmnist import MedMnistSource


@pytest.fixture
def write_medmnist(tmp_path):
    def write(name: str = "pneumoniamnist", **changes):
        films = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
        arrays = {
            "train_images": films[:4], "train_labels": np.array([[0], [1], [1], [0]], np.uint8),
            "val_images": films[4:6], "val_labels": np.array([[0], [1]], np.uint8),
            "test_images": films[6:], "test_labels": np.array([[1], [1], [0]], np.uint8),
        }  # fmt: skip
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **{**arrays, **changes})
        return path, films

    return write


def test_films_labels_and_splits_are_as_published(write_medmnist):
    path, films = write_medmnist()
    source = pickle.loads(pickle.dumps(MedMnistSource(path)))  # noqa: S301
    records = source.scan().records
    assert len(records) == 9
    by_id = {record.image_id: record for record in records}
    assert by_id["val/000001"].class_name == "pneumonia"
    assert by_id["val/000001"].given_split == "val"
    np.testing.assert_array_equal(source.read(by_id["val/000001"].location), films[5])
    np.testing.assert_array_equal(source.read(by_id["test/000002"].location), films[8])


def test_numbers_of_an_unknown_file_need_a_word(write_medmnist):
    path, _ = write_medmnist("other")
    with pytest.raises(ClassMapError, match="--classes normal=0"):
        MedMnistSource(path).scan()
    table = build_class_map({"covid": ["0"], "ignore": ["1"]})
    found = MedMnistSource(path, table, alone=False).scan()
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
        ({"train_images": np.zeros((4, 28, 28, 3), np.uint8)}, "films are grey"),
        ({"train_images": np.zeros((4, 28, 28), np.int64)}, "8 bits"),
        ({"train_labels": np.zeros((4, 14), np.uint8)}, "one label a film"),
        ({"train_labels": np.zeros((3, 1), np.uint8)}, "one label a film"),
    ],
)
def test_arrays_of_another_shape_are_refused(write_medmnist, changes, message):
    path, _ = write_medmnist(**changes)
    with pytest.raises(SourceError, match=message):
        MedMnistSource(path).scan()


def test_a_file_without_films_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", other=np.zeros(3, np.uint8))
    with pytest.raises(SourceError, match="is it a MedMNIST file"):
        MedMnistSource(tmp_path / "x.npz").scan()


@pytest.mark.parametrize("location", ["train/4", "train/-1", "other/0", "../0", "train/"])
def test_a_film_that_is_not_there_is_a_film_error(write_medmnist, location):
    path, _ = write_medmnist()
    with pytest.raises(FilmError, match="There is no film"):
        MedMnistSource(path).read(location)


@pytest.mark.films
def test_the_real_pneumoniamnist_is_read_whole(films_root):
    source = MedMnistSource(films_root / "pneumoniamnist.npz")
    records = source.scan().records
    assert Counter(record.given_split for record in records) == {
        "train": 4708, "val": 524, "test": 624,
    }  # fmt: skip
    assert Counter(record.class_name for record in records) == {"pneumonia": 4273, "normal": 1583}
    assert source.read(records[0].location).shape == (28, 28)
