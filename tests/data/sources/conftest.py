"""Tiny trees of images, built for each test."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BuildTree = Callable[[Iterable[str] | Mapping[str, bytes]], Path]


@pytest.fixture(scope="session")
def tiny_png() -> bytes:
    """Give the bytes of an 8 × 8 image."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def build_tree(tmp_path: Path, tiny_png: bytes) -> BuildTree:
    """Write files under `tmp_path/images`: an image under each path, or the content given."""

    def build(files: Iterable[str] | Mapping[str, bytes]) -> Path:
        root = tmp_path / "images"
        contents = files if isinstance(files, Mapping) else dict.fromkeys(files, tiny_png)
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return build
