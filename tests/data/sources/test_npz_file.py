from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from cxresnet.core.errors import SourceError
from cxresnet.data.sources import npz_file
from cxresnet.data.sources.npz_file import read_array, read_headers


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
        path = tmp_path / "films.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(f"{name}.npy", content)
        return path

    return write


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_headers_and_arrays_are_what_numpy_wrote(tmp_path, save):
    films = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    save(tmp_path / "films.npz", films=films)
    header = read_headers(tmp_path / "films.npz")["films"]
    assert (header.shape, header.dtype) == ((2, 3, 4), np.uint8)
    np.testing.assert_array_equal(read_array(tmp_path / "films.npz", "films"), films)


def test_a_header_that_lies_about_its_shape_is_refused(write_npz):
    films = np.zeros((2, 3, 4), dtype=np.uint8)
    with pytest.raises(SourceError, match="holds something else"):
        read_headers(write_npz(films=write_npy(films, shape=(100_000, 100_000, 4))))


def test_an_array_that_would_unpack_to_far_too_much_is_refused_unread(write_npz):
    bomb = write_npy(np.zeros((5, 1024, 1024), dtype=np.uint8))  # zeros: packed about 1000 times
    with pytest.raises(SourceError, match="would unpack to"):
        read_headers(write_npz(films=bomb))


def test_an_array_over_the_limit_is_refused(write_npz, monkeypatch):
    monkeypatch.setattr(npz_file, "_MAX_ARRAY_BYTES", 100)
    with pytest.raises(SourceError, match="would unpack to"):
        read_headers(write_npz(films=write_npy(np.arange(200, dtype=np.uint8))))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path):
    path = tmp_path / "films.npz"
    np.savez(path, films=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SourceError):
        read_headers(path)
    with pytest.raises(SourceError, match="allow_pickle"):
        read_array(path, "films")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_what_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "films.npz"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"no readable \.npz file"):
        read_headers(path)


def test_a_member_that_is_no_array_is_refused(write_npz):
    with pytest.raises(SourceError, match=r"no readable \.npz file"):
        read_headers(write_npz(films=b"not an array"))
