from __future__ import annotations

import errno
import os
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxresnet.core.errors import DatasetError, StorageError
from cxresnet.data.prepare.store import create_image_array, open_image_array, write_all


def make_images(count: int = 7, side: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side)).astype(np.uint8)


def test_rows_written_in_any_order_are_a_plain_npy(tmp_path: Path) -> None:
    images = make_images()
    with create_image_array(tmp_path / "f.npy", count=7, side_px=5) as file:
        for row in (3, 0, 6, 1, 5, 2, 4):
            file.write(row, images[row])
    assert (np.load(tmp_path / "f.npy") == images).all()
    with open_image_array(tmp_path / "f.npy") as file:
        assert (file.read(2, 5) == images[2:5]).all()
        assert np.concatenate([chunk for _, chunk in file.read_chunks()]).shape == images.shape


def test_it_can_be_opened_again_to_write_on(tmp_path: Path) -> None:
    create_image_array(tmp_path / "f.npy", count=2, side_px=5).close()
    with open_image_array(tmp_path / "f.npy", writable=True) as file:
        file.write(1, np.full((5, 5), 9, dtype=np.uint8))
    assert np.load(tmp_path / "f.npy").sum(axis=(1, 2)).tolist() == [0, 225]


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(StorageError, match="disk is full"):
        create_image_array(tmp_path / "f.npy", count=2, side_px=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_disk_that_fills_while_writing_is_an_error_at_once_and_not_again_on_closing() -> None:
    with Path("/dev/full").open("wb", buffering=0) as stream, pytest.raises(OSError, match="space"):
        write_all(stream, b"an image")


def test_a_disk_that_takes_a_part_is_given_the_rest() -> None:
    taken: list[bytes] = []

    class Slow(RawIOBase):
        """Takes three bytes at a time."""

        def write(self, content: Any) -> int:
            taken.append(bytes(content)[:3])
            return len(taken[-1])

    write_all(Slow(), b"12345678")
    assert taken == [b"123", b"456", b"78"]


@pytest.mark.parametrize(
    "content", [b"", b"text", np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 3)), None]
)
def test_what_is_no_file_of_images_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(DatasetError, match=r"f\.npy.*Prepare the dataset again"):
        open_image_array(path)
