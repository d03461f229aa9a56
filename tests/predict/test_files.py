from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxresnet.core.errors import ImageError
from cxresnet.predict.files import read_image_file


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"content")
    assert read_image_file(path) == b"content"


def test_what_is_no_plain_file_is_refused_and_never_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, code in ((pipe, "not-a-file"), (tmp_path, "not-a-file"), (tmp_path / "x", "missing")):
        with pytest.raises(ImageError) as caught:
            read_image_file(path)
        assert caught.value.code == code


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"more than ten bytes")
    monkeypatch.setattr("cxresnet.predict.files.MAX_FILE_BYTES", 10)
    with pytest.raises(ImageError, match="Reduce it first") as caught:
        read_image_file(path)
    assert caught.value.code == "too-large"


def test_an_error_of_the_disk_is_the_error_of_this_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "image.png"
    path.touch()
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(ImageError, match=r"cannot be read: Permission denied\.") as caught:
        read_image_file(path)
    assert caught.value.code == "unreadable"
