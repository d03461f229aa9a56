from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cxresnet
from cxresnet.core.errors import CheckpointError
from cxresnet.core.run_folder import RunFolder
from cxresnet.model.checkpoint import write_tensor_folder
from cxresnet.predict import Predictor
from cxresnet.predict.bundled import BUNDLED_RUN
from cxresnet.predict.decision import compute_network_hash
from cxresnet.predict.training_images import (
    FAR_NOTE,
    KNOWN_NOTE,
    TRAINING_IMAGES_NAME,
    TrainingImages,
    compute_signs,
    describe_training_images,
    read_training_images,
    write_training_images,
)

Images = NDArray[np.uint8]


def _draw(count: int, *, seed: int, side: int = 32) -> Images:
    """Draw pictures with coarse and with fine patterns, as X-rays have them."""
    generator = np.random.default_rng(seed)
    pictures = np.full((count, side, side), 127.0)
    for patterns, height in ((3, 24), (6, 16), (12, 12), (16, 10)):
        for number in range(count):
            coarse = Image.fromarray(generator.normal(0, height, (patterns, patterns)))
            pictures[number] += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    return pictures.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def known(predictor: Predictor) -> TrainingImages:
    return describe_training_images(predictor, _draw(60, seed=1), validation=_draw(200, seed=2))


@pytest.mark.slow
def test_a_training_image_and_its_near_copies_are_known_and_no_other(
    known: TrainingImages,
) -> None:
    for image in _draw(60, seed=1)[:5]:
        copy = Image.fromarray(image).resize((24, 24)).resize((32, 32))
        darker = (0.7 * image).astype(np.uint8)
        assert all(known.holds(one) for one in (image, np.asarray(copy), darker))
        assert not known.holds(np.ascontiguousarray(image[::-1]))
    assert not any(known.holds(image) for image in _draw(60, seed=3))


def test_one_in_a_hundred_validation_images_is_far_and_noise_is(
    known: TrainingImages, predictor: Predictor
) -> None:
    validation = _draw(200, seed=2)
    assert known.are_far(predictor.compute_features(validation)).sum() == 2
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    assert known.are_far(predictor.compute_features(noise[None]))[0]


def test_distances_grow_with_the_steps_away_from_the_mean(known: TrainingImages) -> None:
    steps = np.arange(1, 4)[:, None] * known.directions[:, 0] * known.sds[0]
    found = known.measure_distances((known.mean + steps).astype(np.float32))
    np.testing.assert_allclose(found, [1, 2, 3], rtol=1e-3)


@pytest.fixture
def run(checkpoint: Path, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(checkpoint, folder.checkpoint)
    return folder


def test_what_is_known_comes_back_as_it_was_written(known: TrainingImages, run: RunFolder) -> None:
    assert read_training_images(run) is None
    for _ in range(2):
        write_training_images(run, known)
    assert [path.name for path in run.evaluate.iterdir()] == [TRAINING_IMAGES_NAME]
    found = read_training_images(run)
    assert found is not None
    for field in dataclasses.fields(known):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(known, field.name))


def test_what_is_known_of_another_network_is_not_used(
    known: TrainingImages, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training_images(run, known)
    monkeypatch.setattr("cxresnet.predict.training_images.compute_network_hash", lambda _: "other")
    assert read_training_images(run) is None


def test_a_folder_without_the_arrays_is_refused(run: RunFolder) -> None:
    record = {"network": compute_network_hash(run), "limit": 1.0, "rest_sd": 1.0}
    write_tensor_folder(
        run.evaluate / TRAINING_IMAGES_NAME, tensors={}, documents={"record": record}
    )
    with pytest.raises(CheckpointError, match="cxresnet evaluate RUN"):
        read_training_images(run)


@pytest.mark.slow
def test_the_bundled_network_knows_its_training_images() -> None:
    found = read_training_images(BUNDLED_RUN)
    assert found is not None
    assert len(found.signs) == cxresnet.load().predictor.record.notes["train_images"]


@pytest.fixture
def model(known: TrainingImages) -> cxresnet.Model:
    """The bundled network, which is told of other training images."""
    model = cxresnet.load(gate=False)
    side = model.predictor.preprocessing.side_px
    images = _draw(60, seed=1, side=side)
    found = describe_training_images(model.predictor, images, validation=images)
    return dataclasses.replace(model, training_images=found)


@pytest.mark.slow
def test_the_answer_says_that_an_image_was_trained_on(model: cxresnet.Model) -> None:
    image = _draw(1, seed=1, side=96)[0]
    assert model.training_images is not None
    signs = compute_signs(model.predictor.prepare(image)[None])
    known = dataclasses.replace(model.training_images, signs=signs, limit=np.inf)
    told = dataclasses.replace(model, training_images=known)
    assert told.predict(image).note.endswith(KNOWN_NOTE)
    assert KNOWN_NOTE not in told.predict(np.ascontiguousarray(image[::-1])).note


@pytest.mark.slow
def test_an_image_unlike_the_training_images_is_not_decided_on(model: cxresnet.Model) -> None:
    image = _draw(1, seed=1, side=96)[0]
    assert model.training_images is not None
    far = dataclasses.replace(model.training_images, limit=0.0)
    near = dataclasses.replace(model.training_images, limit=np.inf)
    found = dataclasses.replace(model, training_images=far).predict(image)
    assert found.decision == "abstain"
    assert FAR_NOTE in found.note
    assert FAR_NOTE not in dataclasses.replace(model, training_images=near).predict(image).note
