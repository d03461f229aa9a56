from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.experiments.encodings import OTHER_ENCODINGS, PNG
from cxresnet.audit.model import Images, Probabilities
from cxresnet.audit.question import QuestionAnswer
from cxresnet.audit.questions.invariance import answer_invariance
from cxresnet.core.config import AuditConfig, Config
from cxresnet.core.errors import ImageError
from cxresnet.core.finding import Measure
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.data.decode.decoder import decode_in_process

SIDE = 64
LUNGS = np.s_[:, 24:44, 14:24]
MIDDLE = np.s_[:, 24:44, 29:35]
CORNER = np.s_[:, 4:11, 4:9]


def read_file(content: bytes) -> NDArray[np.uint8]:
    """Read a file without our own decoder, so that a fault can be put in."""
    if content[128:132] == b"DICM":
        return np.asarray(pydicom.dcmread(io.BytesIO(content)).pixel_array)
    levels = np.asarray(Image.open(io.BytesIO(content)))
    levels = levels[..., 0] if levels.ndim == 3 else levels
    return np.asarray(levels // 257 if levels.dtype != np.uint8 else levels, dtype=np.uint8)


def read_clipped(content: bytes) -> NDArray[np.uint8]:
    """Read files of 16 bits as Pillow's own conversion does: nearly all levels become white."""
    levels = np.asarray(Image.open(io.BytesIO(content))) if content[128:132] != b"DICM" else None
    if levels is not None and levels.ndim == 2:
        return np.clip(levels, 0, 255).astype(np.uint8)
    return read_file(content)


def read_no_tiff(content: bytes) -> NDArray[np.uint8]:
    if content[:2] == b"II":
        raise ImageError("damaged", "This file is damaged.")
    return read_file(content)


@dataclass(frozen=True)
class Toy:
    """Decides on "covid-19" where one place is brighter than another."""

    place: Any
    than: Any
    read: Any = read_file
    name: str = "toy"
    class_names: tuple[str, ...] = ("normal", "covid-19")
    content: str = "toy"
    predictor: None = None
    network: None = None

    def predict(self, images: Images) -> Probabilities:
        place, than = (
            np.asarray(images)[part].mean(axis=(1, 2)) for part in (self.place, self.than)
        )
        share = 1 / (1 + np.exp(np.clip(than - place, -300, 300) / 10))
        return np.stack([1 - share, share], axis=1)

    def decide(self, probabilities: Probabilities) -> NDArray[np.int64]:
        return probabilities.argmax(axis=1)

    def predict_files(self, contents: Sequence[bytes]) -> Probabilities:
        return self.predict(np.stack([self.read(content) for content in contents]))

    def compute_features(self, images: Images) -> None:
        return None


def draw_images(count: int) -> NDArray[np.uint8]:
    """Draw images whose lungs are darker (even numbers) or brighter (odd) than what is between."""
    generator = np.random.default_rng(5)
    images = np.full((count, SIDE, SIDE), 110.0)
    for left in (12, 38):
        images[:, 18:50, left : left + 14] = np.array([70, 150])[np.arange(count) % 2][
            :, None, None
        ]
    images[:, :16, :16] = 30
    return (images + generator.normal(0, 6, images.shape)).clip(0, 255).astype(np.uint8)


def build_context(model: Toy, folder: Path, *, count: int = 40) -> AuditContext:
    manifest = pd.DataFrame({"group_id": range(count), "source": ["here"] * count})
    audit = AuditConfig(bootstrap_resamples=200, altered_images=60)
    return AuditContext(
        model=model,
        dataset=cast("Any", None),
        test=ImageSet(draw_images(count), np.arange(count) % 2, manifest),
        settings=Config(audit=audit),
        folder=folder,
    )


def find(answer: QuestionAnswer, name: str) -> Measure:
    return next(one for one in answer.measures if one.name == name)


@pytest.mark.slow
def test_a_model_that_reads_the_lungs_is_green_and_shows_its_numbers(tmp_path: Path) -> None:
    answer = answer_invariance(build_context(Toy(LUNGS, MIDDLE), tmp_path))
    assert answer.verdict == "green", answer.sentence
    assert "40 images, one a patient" in answer.sentence
    assert "in 7 other encodings had the same decision" in answer.sentence
    letter = find(answer, "Share of decisions changed, letter in the upper left corner")
    assert (letter.value, letter.low, letter.n) == (0, 0, 40)
    assert letter.high is not None
    assert 0.05 < letter.high < 0.12
    moved = find(answer, "Mean change of probability, darker (gamma 1.25)")
    assert moved.note.startswith("largest 0.")
    assert find(answer, "Share of decisions changed, mirrored").note == "without a light"
    ((name, caption, picture),) = answer.pictures
    assert name == "invariance-alterations.png"
    assert "altered in 14 ways" in caption
    assert picture.width > 1000


@pytest.mark.slow
def test_a_model_that_reads_the_corner_is_red_for_the_letter(tmp_path: Path) -> None:
    answer = answer_invariance(build_context(Toy(CORNER, MIDDLE), tmp_path))
    assert answer.verdict == "red"
    assert "letter in the upper left corner changed 100 % (" in answer.sentence
    assert re.search(r"turned to [\w-]+: (\d+) of the \1 images that did not have", answer.sentence)
    assert find(answer, "Share of decisions changed, letter in the upper left corner").value == 1
    assert find(answer, "Share of decisions changed, letter in the upper right corner").value == 0
    assert answer.next_step == ""  # that of the question


@dataclass(frozen=True)
class ReaderOfLetters(Toy):
    """Decides by the lungs between two classes, and on one of them where a letter stands."""

    class_names: tuple[str, ...] = ("normal", "pneumonia", "covid-19")

    def predict(self, images: Images) -> Probabilities:
        lungs, middle, corner = (
            np.asarray(images)[part].mean(axis=(1, 2)) for part in (LUNGS, MIDDLE, CORNER)
        )
        is_bright = (lungs > middle).astype(int)
        return np.eye(3)[np.where(corner > 80, 1, is_bright)]


@pytest.mark.slow
def test_a_letter_is_red_where_all_other_answers_turn_though_half_have_its_answer(
    tmp_path: Path,
) -> None:
    # Half of the images are of the letter's class already: at most half of the answers can change.
    answer = answer_invariance(build_context(ReaderOfLetters(LUNGS, MIDDLE), tmp_path))
    assert answer.verdict == "red", answer.sentence
    name = "letter in the upper left corner"
    assert find(answer, f"Share of decisions changed, {name}").value == 0.5
    turned = find(answer, f"Share of other answers that turn to pneumonia, {name}")
    assert (turned.value, turned.n) == (1, 20)
    assert "20 of the 20 images that did not have this answer before" in answer.sentence


@pytest.mark.slow
def test_a_fault_in_reading_one_format_is_red_and_named(tmp_path: Path) -> None:
    context = build_context(Toy(LUNGS, MIDDLE, read=read_clipped), tmp_path)
    answer = answer_invariance(context)
    assert answer.verdict == "red"
    assert "came from PNG of 16 bits (" in answer.sentence
    assert "convert such files" in answer.next_step


@pytest.mark.slow
def test_a_format_that_is_refused_is_amber_and_named(tmp_path: Path) -> None:
    context = build_context(Toy(LUNGS, MIDDLE, read=read_no_tiff), tmp_path)
    answer = answer_invariance(context)
    assert answer.verdict == "amber"
    assert "TIFF was not tried: This file is damaged." in answer.sentence


@pytest.mark.slow
def test_few_patients_are_amber_and_fewer_cannot_be_tested(tmp_path: Path) -> None:
    answer = answer_invariance(build_context(Toy(LUNGS, MIDDLE), tmp_path, count=11))
    assert answer.verdict == "amber"
    with pytest.raises(CannotBeTestedError, match="are of 8 patients; at least 10"):
        answer_invariance(build_context(Toy(LUNGS, MIDDLE), tmp_path, count=8))


def test_every_lossless_encoding_keeps_every_level_in_our_own_decoder() -> None:
    image = np.random.default_rng(1).integers(0, 256, (33, 35)).astype(np.uint8)
    image[0, :2] = (0, 255)
    expected = image / np.float32(255)
    assert len({PNG.name, *(one.name for one in OTHER_ENCODINGS)}) == 8
    for one in (PNG, *OTHER_ENCODINGS):
        pixels = decode_in_process(one.encode(image)).pixels
        off = np.abs(pixels - expected).max()
        assert off < (1e-6 if one.is_lossless else 0.2), one.name
