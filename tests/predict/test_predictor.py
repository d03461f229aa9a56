from __future__ import annotations

import copy
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxresnet.core.errors import CheckpointError, ImageError, ModelModeError
from cxresnet.data.dataset.dataset import ImageSet
from cxresnet.model.checkpoint import read_checkpoint, write_checkpoint
from cxresnet.model.ensemble import CXResNetEnsemble
from cxresnet.predict import Predictor, load_predictor
from cxresnet.predict import backend as backend_module
from cxresnet.predict import predictor as predictor_module

_IMAGES = np.random.default_rng(0).integers(0, 256, size=(10, 32, 32), dtype=np.uint8)


def _encode(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_an_image_gets_the_same_answer_alone_and_in_any_batch(predictor: Predictor) -> None:
    together = predictor.predict_images(_IMAGES)
    assert together.shape == (10, 3)
    assert together.dtype == np.float32
    for batch_size in (1, 3, 10):
        answer = predictor.predict_images(_IMAGES, batch_size=batch_size)
        np.testing.assert_allclose(answer, together, atol=1e-5)


def test_images_are_normalised_by_the_training_images_mean_and_sd(predictor: Predictor) -> None:
    # mean .5 and sd .25: black is (0 - .5) / .25 = -2, white is +2.
    image = np.array([[[0, 255]]], dtype=np.uint8)
    tensor = predictor.to_tensor(image)
    assert tensor.shape == (1, 1, 1, 2)
    assert tensor.dtype == torch.float32
    assert tensor.flatten().tolist() == pytest.approx([-2, 2], abs=1e-6)


def test_the_answer_is_that_of_the_network(predictor: Predictor) -> None:
    with torch.no_grad():
        expected = predictor.model(predictor.to_tensor(_IMAGES)).numpy()
    np.testing.assert_allclose(predictor.predict_images(_IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("members", [1, 2])
def test_the_features_give_the_same_answer_whether_the_network_is_folded_or_not(
    members: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if members == 2:
        second = copy.deepcopy(predictor.model)
        torch.nn.init.normal_(second.head.weight)
        both = CXResNetEnsemble([predictor.model, second]).eval()
        predictor = replace(predictor, model=both)
    features = predictor.compute_features(_IMAGES)
    assert len(features) == 10
    answer = predictor.predict_images(_IMAGES)
    np.testing.assert_allclose(predictor.classify_features(features), answer, atol=1e-5)

    unfolded = replace(predictor)
    monkeypatch.setattr(backend_module, "fold_network", lambda model: model)
    np.testing.assert_allclose(unfolded.compute_features(_IMAGES), features, atol=1e-5)


@pytest.mark.slow
def test_views_are_averaged_and_the_first_is_the_image_itself(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = predictor.predict_images(_IMAGES)
    averaged = predictor.predict_images(_IMAGES, test_time_augmentation=True)
    assert averaged.shape == plain.shape
    assert not np.allclose(averaged, plain, atol=1e-3)
    np.testing.assert_allclose(
        predictor.predict_images(_IMAGES, test_time_augmentation=True, batch_size=1),
        averaged,
        atol=1e-5,
    )
    itself = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    monkeypatch.setattr(
        "cxresnet.predict.predictor.build_test_time_views", lambda: (itself, itself)
    )
    np.testing.assert_allclose(
        predictor.predict_images(_IMAGES, test_time_augmentation=True), plain, atol=1e-4
    )


def test_no_images_get_no_answers(predictor: Predictor) -> None:
    assert predictor.predict_images(_IMAGES[:0]).shape == (0, 3)


def test_asking_leaves_the_network_as_it_was(predictor: Predictor) -> None:
    before = {name: value.clone() for name, value in predictor.model.state_dict().items()}
    predictor.predict_images(_IMAGES)
    assert not predictor.model.training
    assert all(
        torch.equal(value, before[name]) for name, value in predictor.model.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in predictor.model.parameters())


def test_a_training_network_is_refused(checkpoint: Path) -> None:
    predictor = load_predictor(checkpoint)
    predictor.model.train()
    with pytest.raises(ModelModeError, match="training mode"):
        predictor.predict_images(_IMAGES)


def test_bytes_and_their_grey_levels_are_prepared_alike(predictor: Predictor) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, size=(60, 80), dtype=np.uint8)
    from_bytes = predictor.prepare(_encode(pixels))
    assert from_bytes.shape == (32, 32)
    np.testing.assert_array_equal(from_bytes, predictor.prepare(pixels))


@pytest.mark.parametrize(
    "content", [b"", b"not an image", np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32)]
)
def test_what_is_no_image_is_refused_with_a_code(predictor: Predictor, content: object) -> None:
    with pytest.raises(ImageError) as caught:
        predictor.prepare(content)
    assert caught.value.code in {"empty", "not-an-image", "format-not-allowed"}


def test_the_table_finds_classes_by_name(predictor: Predictor) -> None:
    image_set = SimpleNamespace(
        images=_IMAGES[:3],
        manifest=pd.DataFrame(
            {
                "image_id": ["a", "b", "c"],
                "class_name": ["covid-19", "tuberculosis", "normal"],
                "patient_id": ["p", "", "q"],
                "source": ["x", "x", "y"],
                "group_id": [4, 5, 6],
            }
        ),
    )
    predictions = predictor.predict_image_set(image_set)
    assert predictions.truth.tolist() == [2, -1, 0]
    assert predictions.group_ids == ("4", "5", "6")
    assert predictions.patient_ids == ("p", "", "q")
    assert predictions.class_names == predictor.class_names
    np.testing.assert_array_equal(predictions.logits, predictor.predict_images(_IMAGES[:3]))


@pytest.mark.parametrize("preprocessing", [{}, {"mean": None}])
def test_a_checkpoint_that_cannot_prepare_images_is_refused(
    checkpoint: Path, tmp_path: Path, preprocessing: dict[str, object]
) -> None:
    tensors, record = read_checkpoint(checkpoint)
    known = {**record.preprocessing, **preprocessing} if preprocessing else {}
    altered = record.model_copy(update={"preprocessing": known})
    folder = write_checkpoint(tmp_path / "checkpoint", tensors=tensors, record=altered)
    with pytest.raises(CheckpointError, match="Train again"):
        load_predictor(folder)


def test_the_network_comes_ready_to_predict(checkpoint: Path) -> None:
    predictor = load_predictor(checkpoint)
    assert not predictor.model.training
    assert predictor.class_names == ("normal", "pneumonia", "covid-19")
    assert predictor.preprocessing.side_px == 32
    assert replace(predictor).record.notes == {}


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_every_row_of_the_table_is_its_own_image_whatever_the_dataset_looks_like(
    predictor: Predictor, unkind_images: ImageSet, batch_size: int
) -> None:
    found = predictor.predict_image_set(unkind_images, batch_size=batch_size)
    rows = unkind_images.manifest
    assert found.image_ids == tuple(rows["image_id"])
    assert found.patient_ids == tuple(rows["patient_id"])
    assert found.group_ids == tuple(map(str, rows["group_id"]))
    assert found.sources == tuple(rows["source"])
    known = ("normal", "pneumonia", "covid-19")
    assert [known[label] if label >= 0 else "tuberculosis" for label in found.truth] == list(
        rows["class_name"]
    )
    for row, image in enumerate(unkind_images.images):
        alone = predictor.predict_images(image[None])[0]
        np.testing.assert_allclose(found.logits[row], alone, atol=1e-5)


def test_a_split_is_predicted_with_the_views_and_batches_asked_for(
    predictor: Predictor, unkind_images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    to_tensor = predictor_module.normalise
    monkeypatch.setattr(
        predictor_module,
        "normalise",
        lambda images, pipeline: (sizes.append(len(images)), to_tensor(images, pipeline))[1],
    )
    found = predictor.predict_image_set(unkind_images, batch_size=4, test_time_augmentation=True)
    assert sizes == [4, 4, 3]
    expected = predictor.predict_images(unkind_images.images, test_time_augmentation=True)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    plain = predictor.predict_image_set(unkind_images)
    assert not np.allclose(found.logits, plain.logits, atol=1e-3)


def test_a_large_file_is_reduced_while_it_is_decoded_as_in_preparation(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    decode = predictor_module.decode_image
    monkeypatch.setattr(
        predictor_module,
        "decode_image",
        lambda content, **options: (asked.append(options), decode(content, **options))[1],
    )
    predictor.prepare(_encode(_IMAGES[0].repeat(3, axis=0).repeat(3, axis=1)))
    assert [one["min_side_px"] for one in asked] == [predictor.preprocessing.min_side_px]
