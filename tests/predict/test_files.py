from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxresnet.predict import FilePrediction, Predictor, predict_files


def _write_image(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, size=(50, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_every_file_gets_one_answer_in_order(predictor: Predictor, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    images = [_write_image(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    paths = [images[0], text, images[1], empty, pipe, tmp_path, tmp_path / "gone.png", images[2]]
    answers = list(predict_files(predictor, paths, batch_size=3))
    assert [answer.path for answer in answers] == paths
    codes = [answer.code for answer in answers]
    assert codes == ["", "not-an-image", "", "empty", "not-a-file", "not-a-file", "missing", ""]
    for answer in answers:
        assert (answer.logits is None) == bool(answer.code) == bool(answer.reason)
        assert answer.logits is None or len(answer.logits) == 3
    pixels = predictor.prepare(images[2].read_bytes())
    expected = predictor.predict_images(pixels[None])[0]
    assert answers[-1].logits == pytest.approx(expected, abs=1e-5)


def test_a_file_gets_the_same_answer_alone_and_with_others(
    predictor: Predictor, tmp_path: Path
) -> None:
    images = [_write_image(tmp_path / f"{seed}.png", seed) for seed in range(5)]
    together = list(predict_files(predictor, images))
    for path, answer in zip(images, together, strict=True):
        (alone,) = predict_files(predictor, [path])
        assert isinstance(alone, FilePrediction)
        assert alone.logits == pytest.approx(answer.logits, abs=1e-5)


def test_a_file_too_large_is_not_read(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxresnet.predict.files.MAX_FILE_BYTES", 10)
    (answer,) = predict_files(predictor, [_write_image(tmp_path / "a.png", 0)])
    assert answer.code == "too-large"


def test_no_files_get_no_answers(predictor: Predictor) -> None:
    assert list(predict_files(predictor, [])) == []
