from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import DatasetError, HeldOutTestError, StorageError
from cxresnet.data.dataset import held_out
from cxresnet.data.dataset.dataset import PreparedDataset, open_dataset
from cxresnet.data.dataset.held_out import AccessRequest, read_access_log
from cxresnet.data.phantoms.plan import PhantomSettings
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.phantom import PhantomSource


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = PhantomSource(PhantomSettings(images_per_class=20, side_px=48))
    config = DataConfig(side_px=24, common_side_px=32, folds=3, workers=1)
    return run_prepare(source, config=config, out=tmp_path_factory.mktemp("data") / "d").path


@pytest.fixture
def path(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "d"))


@pytest.fixture
def dataset(path: Path) -> PreparedDataset:
    return open_dataset(path)


@pytest.mark.slow
def test_a_split_is_a_stretch_of_the_file_and_not_loaded(dataset: PreparedDataset) -> None:
    train = dataset.select("train")
    assert isinstance(train.images, np.memmap)
    assert train.images.base is not None
    assert len(train) == len(train.images) == len(train.labels) == len(train.manifest)
    assert not train.images.flags.writeable


def test_labels_are_indices_into_the_class_names(dataset: PreparedDataset) -> None:
    val = dataset.select("val")
    assert dataset.class_names == ("normal", "pneumonia", "covid-19")
    assert [dataset.class_names[label] for label in val.labels] == list(val.manifest["class_name"])
    assert val.labels.dtype == np.int64


def test_images_are_those_of_their_rows(dataset: PreparedDataset) -> None:
    images = np.load(dataset.path / "images.npy")
    rows = dataset.manifest.index[dataset.manifest["split"] == "val"].to_numpy()
    assert (dataset.select("val").images == images[rows]).all()


def test_the_test_split_is_sealed(dataset: PreparedDataset) -> None:
    with pytest.raises(HeldOutTestError, match=r"locked.*cxresnet evaluate"):
        dataset.select("test")
    assert read_access_log(dataset.path / "test_access_log.csv") == ()


def test_every_opening_is_written_down(dataset: PreparedDataset) -> None:
    first = dataset.open_held_out_test(
        AccessRequest(reason="evaluate run a", run="first", network="", config="c0")
    )
    dataset.open_held_out_test(
        AccessRequest(reason="evaluate run b", run="first", network="", config="c0")
    )
    accesses = read_access_log(dataset.path / "test_access_log.csv")
    assert [access.reason for access in accesses] == ["evaluate run a", "evaluate run b"]
    assert accesses[0].dataset_hash == dataset.dataset_hash
    assert set(first.manifest["split"]) == {"test"}


@pytest.mark.parametrize("name", ["reason", "run", "config"])
def test_without_a_reason_a_run_and_a_config_the_seal_holds(
    dataset: PreparedDataset, name: str
) -> None:
    access_request = replace(
        AccessRequest(reason="x", run="first", network="", config="c0"), **{name: "  "}
    )
    with pytest.raises(HeldOutTestError, match=f"give a {name}"):
        dataset.open_held_out_test(access_request)
    assert read_access_log(dataset.path / "test_access_log.csv") == ()


def test_a_test_image_that_was_exchanged_is_not_opened(dataset: PreparedDataset) -> None:
    images = np.load(dataset.path / "images.npy")
    row = int(dataset.manifest.index[dataset.manifest["split"] == "test"][0])
    images[row, 0, 0] ^= 1
    np.save(dataset.path / "images.npy", images)
    with pytest.raises(DatasetError, match="was altered after the dataset was prepared"):
        open_dataset(dataset.path).open_held_out_test(
            AccessRequest(reason="x", run="first", network="", config="c0")
        )
    assert read_access_log(dataset.path / "test_access_log.csv") == ()


@pytest.mark.parametrize("take", ["train", "val", "fold"])
def test_an_image_that_was_exchanged_is_not_learned_from(
    dataset: PreparedDataset, take: str
) -> None:
    images = np.load(dataset.path / "images.npy")
    np.save(dataset.path / "images.npy", 255 - images)
    inverted = open_dataset(dataset.path)
    with pytest.raises(DatasetError, match=r"image '.*' was altered .*cxresnet verify"):
        inverted.select_fold(0, "train") if take == "fold" else inverted.select(take)


def test_each_image_is_compared_once_while_the_dataset_is_open(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.select("train")
    monkeypatch.delattr(hashlib, "sha256")
    assert len(dataset.select("train")) > 0
    with pytest.raises(AttributeError):
        dataset.select("val")


def test_what_cannot_be_written_down_is_not_opened(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("read-only")

    monkeypatch.setattr(held_out, "write_safe_csv", fail)
    with pytest.raises(StorageError):
        dataset.open_held_out_test(
            AccessRequest(reason="a look", run="first", network="", config="c0")
        )


def test_folds_cover_everything_but_the_test(dataset: PreparedDataset) -> None:
    not_test = set(dataset.manifest.loc[dataset.manifest["split"] != "test", "image_id"])
    seen: list[str] = []
    for fold in range(3):
        train = dataset.select_fold(fold, "train")
        val = dataset.select_fold(fold, "val")
        assert set(train.manifest["image_id"]) | set(val.manifest["image_id"]) == not_test
        assert not set(train.manifest["group_id"]) & set(val.manifest["group_id"])
        assert len(train.images) == len(train)
        seen += list(val.manifest["image_id"])
    assert sorted(seen) == sorted(not_test)


@pytest.mark.parametrize("fold", [-1, 3])
def test_a_fold_that_is_not_there_is_told(dataset: PreparedDataset, fold: int) -> None:
    with pytest.raises(DatasetError, match=f"no fold {fold}; it has 3 folds"):
        dataset.select_fold(fold, "val")


def test_a_split_that_is_not_there_is_told(dataset: PreparedDataset) -> None:
    with pytest.raises(DatasetError, match="no holdout split"):
        dataset.select("holdout")


def test_masks_are_found_by_image(dataset: PreparedDataset) -> None:
    val = dataset.select("val")
    masks = np.load(dataset.path / "lung_masks.npy")
    mask = val.lung_mask(2)
    assert mask is not None
    assert (mask == masks[val.manifest["lung_mask_row"].iloc[2]]).all()


def test_a_folder_that_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not a prepared dataset.*cxresnet prepare"):
        open_dataset(tmp_path)


def test_a_manifest_changed_by_hand_is_not_trusted(path: Path) -> None:
    manifest = path / "manifest.csv"
    manifest.write_text(manifest.read_text().replace('"test"', '"train"', 1))
    with pytest.raises(DatasetError, match=r"altered.*cxresnet verify"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dataset.json", b"{}", "cannot be read"),
        ("dataset.json", b"\xff", "cannot be read"),
        ("images.npy", b"", "cannot be read"),
        ("images.npy", b"\x93NUMPY\1\0\x80\0" + b"(" * 128, "cannot be read"),
        ("images.npy", None, "missing or cut off"),
        ("manifest.csv", None, "no manifest"),
    ],
)
def test_a_torn_dataset_is_told(path: Path, name: str, content: bytes | None, message: str) -> None:
    (path / name).unlink()
    if content is not None:
        (path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset(path)


def test_an_archive_of_arrays_in_the_place_of_images_is_refused(path: Path) -> None:
    images = np.load(path / "images.npy")
    with (path / "images.npy").open("wb") as stream:
        np.savez(stream, images=images)
    with pytest.raises(DatasetError, match="holds no 8-bit images"):
        open_dataset(path)


def test_images_that_are_cut_off_while_in_use_are_told(dataset: PreparedDataset) -> None:
    train = dataset.select("train").images
    assert isinstance(train[0], np.ndarray)
    assert type(train[[0, 2]]) is np.ndarray
    os.truncate(dataset.path / "images.npy", 4096)
    for read in (lambda: train[0], lambda: train[[0, 2]], lambda: train[3:], lambda: list(train)):
        with pytest.raises(DatasetError, match="was cut off or removed while it was in use"):
            read()
